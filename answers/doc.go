// Package answers holds what models say against what a batch demands of it.
//
// A [Standard] is made once of a batch's [jobs.Demands], and refuses those
// that cannot be met before anything is asked. It examines each answer, of
// which it takes what counts: JSON is found inside a code fence or among other
// words, but never mended. What it finds wrong is told so that a model can
// correct it and a person understand it, and what it finds right is told with
// its place: a quote is where it stands in the document.
//
// Standards and exams may be used from any goroutine. Nothing here asks a
// model or reads a file.
package answers
