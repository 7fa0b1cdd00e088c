// Package dashboard shows a fleet in a browser: its batches and how fast they
// come along, models with their circuits and quotas, budgets, and dead letters to
// replay. It sees what commands see, with the rights of who runs it, and nothing
// of what prompts, documents and answers say.
//
// A Board is an http.Handler:
//
//	http.ListenAndServe("127.0.0.1:8090", dashboard.New(dashboard.Config{Servers: servers}))
//
// All who watch share one look at the servers every few seconds; while nobody
// does, nobody looks. Pages are rendered here, and follow what happens by server-sent events, which
// bring the parts of a page that have changed. Without scripts they work too, but
// stand still.
package dashboard
