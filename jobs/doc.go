// Package jobs holds the words Drover is built from: a [Document] becomes a [Job]
// of a [Batch], a job is lent to a worker as a [Delivery], the worker makes a
// [Call] to a [Model], which becomes an [Attempt], and the attempts end in one
// [Outcome].
//
// Everything here is plain data and the rules that follow from it alone. The
// package imports only the standard library, logs nothing and opens nothing,
// so every other package can speak this vocabulary without knowing the others.
package jobs
