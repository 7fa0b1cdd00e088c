// Package trace tells OpenTelemetry what became of jobs.
//
// Spans are made after the fact, of what a finished delivery leaves behind: its
// attempts know when they began, how long they took and what came of them. So
// nothing is in the way of a call, and a nil *Tracer, which is what there is
// when nobody asks for traces, costs nothing.
//
// Each run of a job is a trace of its own, whose ids follow from the job, its
// batch and its run: whoever gets a job next, after a crash or a wait, goes on
// in the same trace without having been told. The trace is linked to the span
// of the command that handed the job in, which travels with it as a W3C
// traceparent. No span holds anything that a document, a prompt, an answer or a
// provider's message says.
package trace
