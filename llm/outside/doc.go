// Package outside tests Drover's adapters and its simulator against parties
// that know nothing of each other: the official Go SDKs are clients of the
// simulator, and the adapters are clients of npm's @copilotkit/aimock, whose
// journal is the witness of what was asked, and how often. It is a module of its
// own so that Drover depends on none of them. The SDKs are early releases of
// their present major versions: the newest take minutes to compile, most of it
// for endpoints that are not asked here.
//
//	cd llm/outside && go test ./...
package outside
