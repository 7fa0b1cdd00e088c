package jobs

import "context"

type traceparentKey struct{}

// WithTraceparent has the requests that are made within the context tell the
// models and tools that they reach of a span, in W3C's form.
func WithTraceparent(ctx context.Context, traceparent string) context.Context {
	return context.WithValue(ctx, traceparentKey{}, traceparent)
}

// Traceparent is what such a request has to tell; "" for nothing.
func Traceparent(ctx context.Context) string {
	traceparent, _ := ctx.Value(traceparentKey{}).(string)
	return traceparent
}
