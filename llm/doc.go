// Package llm asks models. A Client speaks one wire protocol to one model:
// OpenAI's chat completions, which most of the world has copied, its responses
// or embeddings, Anthropic's messages, or Gemini's generateContent. It sends a request once, always with an output limit,
// and returns either an answer or a *jobs.Failure that says what went wrong,
// whether waiting helps and whether money may have been spent. Retrying,
// limiting and paying are for others to decide.
//
// A ready request, such as a line of an OpenAI batch file, goes out byte for
// byte but for the model's name and the token limit. Responses are scanned
// rather than decoded, and kept whole. Anthropic and Gemini are given ready chat
// completions in translation, and what does not translate is refused.
//
// What was sent is presumed paid unless the provider's answer proves
// otherwise: rejections are Free, and so is whatever never left this machine;
// timeouts, broken connections and most server errors are Presumed.
//
// Tokens bounds what a request can count as, so that its cost can be reserved
// before it is sent and a model that it cannot fit is not asked. Lookup and
// Limits know well-known models' prices and sizes.
package llm
