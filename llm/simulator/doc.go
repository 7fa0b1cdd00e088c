// Package simulator is a model provider that costs nothing: a real HTTP server
// that speaks OpenAI's chat completions, responses and embeddings,
// Anthropic's messages, and Gemini's generateContent.
//
// Its answers are deterministic and read sensibly: a title and a first
// sentence, taken from the document that it was asked about. How it behaves is
// scripted in a Config: latency and speed, requests and tokens per minute with
// true 429s, and faults, by chance, by schedule or by a marker that a document
// contains:
//
//	[[simulate:500]]      answers with that status, every time
//	[[simulate:503*2]]    twice, then properly
//	[[simulate:refuse]]   any other Fault of this package
//	[[simulate:invalid*1@small]]  once, and only of the model small
//
// A count is of the times that the conversation was asked: the same request
// again counts, and so does each turn the model has had. So a document with
// [[simulate:invalid*1]] is answered wrongly, and properly in the repair turn.
//
// Pictures count as 85 tokens each. An answer matches the JSON Schema that a
// request gives by its protocol's own means or, without, spells out in its
// instructions or document: strings hold the summary, those called quote or
// evidence the document's own first words, choices are the first, numbers the
// least, or null where they may be missing. These faults are in what it says, and
// charged for like any answer:
//
//	fenced    the right JSON in a code fence, between two sentences
//	prose     the summary in words
//	invalid   JSON with a property of another type, the others missing
//	broken    JSON without its end, finish reason "stop"
//	length    cut after a few words, finish reason "length"
//	misquote  the right JSON with quotations that the document does not have
//	refuse    the protocol's own way to refuse
//
// Tools are called on request, with the arguments that a document spells out
// in a marker for each turn:
//
//	[[simulate:call search {"query":"rent"}]]                first turn
//	[[simulate:call outline; read_pages {"from":2,"to":3}]]  second turn, two calls at once
//
// After the last of these the model answers. The fault tool calls the first
// tool once, loop calls it for ever, with arguments made of its schema; a
// tool_choice that forces one is followed. What needs more than that is
// scripted in Go, with Config.Reply.
//
// The same seed, the same request, asked for the nth time, always meets the
// same fate, in whichever order requests arrive.
//
// A ledger records every call and whether it was paid for, as a provider would
// have it: a client that has given up waiting still pays. Tests compare it
// with what Drover believes to have spent. It can be read in Go and, like the
// faults, over HTTP while the server runs:
//
//	GET  /simulator/stats
//	GET  /simulator/ledger?after=N
//	POST /simulator/faults   {"odds": {"503": 0.1}, "outages": [{"fault": "hang", "for": "30s"}]}
//
// Listen serves on a real port. Client needs none: its connections stay in
// memory, and so inside a testing/synctest bubble, where latency and timeouts
// take no time at all.
package simulator
