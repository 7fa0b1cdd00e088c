package llm

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"github.com/drover-batch/drover/jobs"
)

func TestExhaustedLimitIsTakenFromTheMessage(t *testing.T) {
	for message, want := range map[string]jobs.Limit{
		"Rate limit reached for gpt-4.1 in organization org-x on requests per min (RPM): Limit 500, Used 500, Requested 1.":                                                 jobs.Requests,
		"Rate limit reached for gpt-4.1 in organization org-x on tokens per min (TPM): Limit 30000, Used 29000, Requested 2000.":                                            jobs.Tokens,
		"This request would exceed your organization's rate limit of 40,000 input tokens per minute.":                                                                       jobs.Tokens,
		"Number of requests per minute has exceeded your per-minute rate limit.":                                                                                            jobs.Requests,
		"Quota exceeded for quota metric 'Generate Content API requests per minute' and limit 'GenerateRequestsPerMinutePerProject'.":                                       jobs.Requests,
		"You exceeded your quota. Quota exceeded for metric: generate_content_paid_tier_input_token_count, GenerateContentPaidTierInputTokensPerModelPerMinute":             jobs.Tokens,
		"Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-10-21 have exceeded call rate limit of your current OpenAI S0 pricing tier.":  jobs.Requests,
		"Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-10-21 have exceeded token rate limit of your current OpenAI S0 pricing tier.": jobs.Tokens,
		"Both requests per minute and tokens per minute are used up.":                                                                                                       "",
		"Resource has been exhausted (e.g. check quota).":                                                                                                                   "",
	} {
		body, err := json.Marshal(map[string]any{"error": map[string]string{"message": message, "code": "rate_limit_exceeded"}})
		if err != nil {
			t.Fatal(err)
		}
		if got := complaintOf(body).exhausted(); got != want {
			t.Errorf("%s: %q, want %q", message, got, want)
		}
	}
}

// The bodies have the providers' own shapes and words.
func TestRejectionsAreUnderstood(t *testing.T) {
	for name, row := range map[string]struct {
		status  int
		body    string
		kind    jobs.Kind
		billing jobs.Billing
		code    string
		message string // part of it
	}{
		"openai rate limit":                    {429, `{"error":{"message":"Rate limit reached for gpt-4.1 in organization org-x on requests per min (RPM): Limit 500, Used 500, Requested 1. Please try again in 120ms.","type":"requests","param":null,"code":"rate_limit_exceeded"}}`, jobs.RateLimited, jobs.Free, "rate_limit_exceeded", "Limit 500"},
		"openai request larger than the quota": {429, `{"error":{"message":"Request too large for gpt-4.1 in organization org-x on tokens per min (TPM): Limit 30000, Requested 40000. The input or output tokens must be reduced in order to run successfully.","type":"tokens","param":null,"code":"rate_limit_exceeded"}}`, jobs.Overflow, jobs.Free, "rate_limit_exceeded", ""},
		"groq request larger than the quota":   {413, `{"error":{"message":"Request too large for model llama on tokens per minute (TPM): Limit 6000, Requested 9000","type":"tokens","code":"rate_limit_exceeded"}}`, jobs.Overflow, jobs.Free, "rate_limit_exceeded", ""},
		"openai quota":                         {429, `{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}`, jobs.NoQuota, jobs.Free, "insufficient_quota", "plan and billing"},
		"openai billing limit":                 {400, `{"error":{"message":"Billing hard limit has been reached","type":"invalid_request_error","param":null,"code":"billing_hard_limit_reached"}}`, jobs.NoQuota, jobs.Free, "billing_hard_limit_reached", ""},
		"openai key":                           {401, `{"error":{"message":"Incorrect API key provided: sk-ab***yz.","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}`, jobs.NoQuota, jobs.Free, "invalid_api_key", "Incorrect"},
		"openai country":                       {403, `{"error":{"code":"unsupported_country_region_territory","message":"Country, region, or territory not supported","param":null,"type":"request_forbidden"}}`, jobs.NoQuota, jobs.Free, "unsupported_country_region_territory", ""},
		"openai context":                       {400, `{"error":{"message":"This model's maximum context length is 128000 tokens. However, your messages resulted in 130011 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}`, jobs.Overflow, jobs.Free, "context_length_exceeded", ""},
		"openai parameter":                     {400, `{"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.","type":"invalid_request_error","param":"max_tokens","code":"unsupported_parameter"}}`, jobs.Refused, jobs.Free, "unsupported_parameter", "max_completion_tokens"},
		"openai longest answer":                {400, `{"error":{"message":"max_tokens is too large: 100000. This model supports at most 16384 completion tokens, whereas you provided 100000.","type":"invalid_request_error","param":"max_tokens","code":"invalid_value"}}`, jobs.NoQuota, jobs.Free, "invalid_value", "16384 completion tokens, whereas you provided 100000; lower its max_output"},
		"anthropic longest answer":             {400, `{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: 128000 > 64000, which is the maximum allowed number of output tokens for claude-9"}}`, jobs.NoQuota, jobs.Free, "invalid_request_error", "max_output"},
		"gemini longest answer":                {400, `{"error":{"code":400,"message":"Unable to submit request because it has a maxOutputTokens value of 100000 but the supported range is from 1 (inclusive) to 8193 (exclusive). Update the value and try again.","status":"INVALID_ARGUMENT"}}`, jobs.NoQuota, jobs.Free, "INVALID_ARGUMENT", "max_output"},
		"groq longest answer":                  {400, "{\"error\":{\"message\":\"`max_tokens` must be less than or equal to `16384`\",\"type\":\"invalid_request_error\"}}", jobs.NoQuota, jobs.Free, "invalid_request_error", "max_output"},
		"deepseek longest answer":              {400, `{"error":{"message":"Invalid max_tokens value, the valid range of max_tokens is [1, 8192]","type":"invalid_request_error"}}`, jobs.NoQuota, jobs.Free, "invalid_request_error", "max_output"},
		"vllm answer beside its question":      {400, `{"object":"error","message":"'max_tokens' or 'max_completion_tokens' is too large: 5000. This model's maximum context length is 4096 tokens and your request has 10 input tokens (5000 > 4096 - 10).","type":"BadRequestError","param":null,"code":400}`, jobs.Overflow, jobs.Free, "BadRequestError", "4096"},
		"openai flagged prompt":                {400, `{"error":{"message":"Invalid prompt: your prompt was flagged as potentially violating our usage policy.","type":"invalid_request_error","param":null,"code":"invalid_prompt"}}`, jobs.Refused, jobs.Presumed, "invalid_prompt", ""},
		"openai model":                         {404, `{"error":{"message":"The model 'gpt-9' does not exist or you do not have access to it.","type":"invalid_request_error","param":null,"code":"model_not_found"}}`, jobs.NoQuota, jobs.Free, "model_not_found", "gpt-9"},
		"openai url":                           {404, `{"error":{"message":"Invalid URL (POST /v1/v1/chat/completions)","type":"invalid_request_error","param":null,"code":null}}`, jobs.NoQuota, jobs.Free, "invalid_request_error", "Invalid URL"},
		"openai server":                        {500, `{"error":{"message":"The server had an error while processing your request. Sorry about that!","type":"server_error","param":null,"code":null}}`, jobs.ServerError, jobs.Presumed, "server_error", "Sorry"},
		"openai overloaded":                    {503, `{"error":{"message":"The engine is currently overloaded, please try again later","type":"server_error","param":null,"code":null}}`, jobs.ServerError, jobs.Free, "server_error", "overloaded"},
		"azure filter":                         {400, `{"error":{"message":"The response was filtered due to the prompt triggering Azure OpenAI's content management policy.","type":null,"param":"prompt","code":"content_filter","status":400,"innererror":{"code":"ResponsibleAIPolicyViolation"}}}`, jobs.Refused, jobs.Presumed, "content_filter", "management policy"},
		"azure deployment":                     {404, `{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, please wait a moment and try again."}}`, jobs.NoQuota, jobs.Free, "DeploymentNotFound", ""},
		"anthropic overloaded":                 {529, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}`, jobs.ServerError, jobs.Free, "overloaded_error", "Overloaded"},
		"anthropic rate limit":                 {429, `{"type":"error","error":{"type":"rate_limit_error","message":"This request would exceed your organization's rate limit of 40,000 input tokens per minute."}}`, jobs.RateLimited, jobs.Free, "rate_limit_error", ""},
		"anthropic context":                    {400, `{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 210000 tokens > 200000 maximum"}}`, jobs.Overflow, jobs.Free, "invalid_request_error", "210000"},
		"anthropic credit":                     {400, `{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits."}}`, jobs.NoQuota, jobs.Free, "invalid_request_error", "credit balance"},
		"anthropic key":                        {401, `{"type":"error","error":{"type":"authentication_error","message":"invalid x-api-key"}}`, jobs.NoQuota, jobs.Free, "authentication_error", ""},
		"anthropic too large":                  {413, `{"type":"error","error":{"type":"request_too_large","message":"Request exceeds the maximum size"}}`, jobs.Overflow, jobs.Free, "request_too_large", ""},
		"anthropic model":                      {404, `{"type":"error","error":{"type":"not_found_error","message":"model: claude-9"}}`, jobs.NoQuota, jobs.Free, "not_found_error", "claude-9"},
		"anthropic server":                     {500, `{"type":"error","error":{"type":"api_error","message":"Internal server error"}}`, jobs.ServerError, jobs.Presumed, "api_error", ""},
		"gemini quota":                         {429, `[{"error":{"code":429,"message":"Resource has been exhausted (e.g. check quota).","status":"RESOURCE_EXHAUSTED"}}]`, jobs.RateLimited, jobs.Free, "RESOURCE_EXHAUSTED", "exhausted"},
		"gemini key":                           {400, `[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"}}]`, jobs.NoQuota, jobs.Free, "INVALID_ARGUMENT", ""},
		"gemini context":                       {400, `[{"error":{"code":400,"message":"The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).","status":"INVALID_ARGUMENT"}}]`, jobs.Overflow, jobs.Free, "INVALID_ARGUMENT", ""},
		"openai responses context":             {400, `{"error":{"message":"Your input exceeds the context window of this model. Please adjust your input and try again.","type":"invalid_request_error","param":"input","code":"context_length_exceeded"}}`, jobs.Overflow, jobs.Free, "context_length_exceeded", ""},
		"openai request beyond the quota":      {429, `{"error":{"message":"Request too large for gpt-4o in organization org-1 on tokens per min (TPM): Limit 30000, Requested 61337.","type":"tokens","param":null,"code":"rate_limit_exceeded"}}`, jobs.Overflow, jobs.Free, "rate_limit_exceeded", ""},
		"anthropic with its answer too long":   {400, `{"type":"error","error":{"type":"invalid_request_error","message":"input length and ` + "`max_tokens`" + ` exceed context limit: 143653 + 64000 > 200000, decrease input length or ` + "`max_tokens`" + ` and try again"},"request_id":"req_2"}`, jobs.Overflow, jobs.Free, "invalid_request_error", "exceed context limit"},
		"anthropic limit of one's own":         {400, `{"type":"error","error":{"type":"invalid_request_error","message":"You have reached your specified API usage limits. You will regain access on 2026-12-01 at 00:00 UTC."}}`, jobs.NoQuota, jobs.Free, "invalid_request_error", ""},
		"anthropic filter":                     {400, `{"type":"error","error":{"type":"invalid_request_error","message":"Output blocked by content filtering policy"}}`, jobs.Refused, jobs.Presumed, "invalid_request_error", ""},
		"anthropic permission":                 {403, `{"type":"error","error":{"type":"permission_error","message":"Your API key does not have permission to use the specified resource."}}`, jobs.NoQuota, jobs.Free, "permission_error", ""},
		"gemini per minute":                    {429, `{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits.\n* Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 20, model: gemini-2.5-flash\nPlease retry in 36.429760048s.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"GenerateRequestsPerMinutePerProjectPerModel-FreeTier","quotaValue":"20"}]},{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"36s"}]}}`, jobs.RateLimited, jobs.Free, "RESOURCE_EXHAUSTED", "retry in"},
		"gemini model not in the plan":         {429, `{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details.\n* Quota exceeded for metric: generativelanguage.googleapis.com/generate_content_free_tier_requests, limit: 0, model: gemini-3-pro\nPlease retry in 36s.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"36s"}]}}`, jobs.NoQuota, jobs.Free, "RESOURCE_EXHAUSTED", ""},
		"gemini plan used up":                  {429, `{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing details. For more information on this error, head to: https://ai.google.dev/gemini-api/docs/rate-limits.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.Help","links":[]}]}}`, jobs.NoQuota, jobs.Free, "RESOURCE_EXHAUSTED", ""},
		"gemini key, by reason":                {400, `{"error":{"code":400,"message":"Please pass a valid one.","status":"INVALID_ARGUMENT","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com"}]}}`, jobs.NoQuota, jobs.Free, "INVALID_ARGUMENT", ""},
		"gemini country":                       {400, `{"error":{"code":400,"message":"User location is not supported for the API use.","status":"FAILED_PRECONDITION"}}`, jobs.NoQuota, jobs.Free, "FAILED_PRECONDITION", ""},
		"gemini permission":                    {403, `{"error":{"code":403,"message":"Your API key doesn't have the required permissions.","status":"PERMISSION_DENIED"}}`, jobs.NoQuota, jobs.Free, "PERMISSION_DENIED", ""},
		"gemini model":                         {404, `{"error":{"code":404,"message":"models/gemini-9 is not found for API version v1beta, or is not supported for generateContent.","status":"NOT_FOUND"}}`, jobs.NoQuota, jobs.Free, "NOT_FOUND", ""},
		"gemini overloaded":                    {503, `{"error":{"code":503,"message":"The model is overloaded. Please try again later.","status":"UNAVAILABLE"}}`, jobs.ServerError, jobs.Free, "UNAVAILABLE", ""},
		"gemini deadline":                      {504, `{"error":{"code":504,"message":"Deadline expired before operation could complete.","status":"DEADLINE_EXCEEDED"}}`, jobs.ServerError, jobs.Presumed, "DEADLINE_EXCEEDED", ""},
		"gemini signature":                     {400, `{"error":{"code":400,"message":"Function call is missing a thought_signature in functionCall parts.","status":"INVALID_ARGUMENT"}}`, jobs.Refused, jobs.Free, "INVALID_ARGUMENT", ""},
		"vllm context":                         {400, `{"object":"error","message":"This model's maximum context length is 4096 tokens. However, you requested 5000 tokens.","type":"BadRequestError","param":null,"code":400}`, jobs.Overflow, jobs.Free, "BadRequestError", "4096"},
		"llama.cpp context":                    {400, `{"error":{"code":400,"message":"the request exceeds the available context size, try increasing it","type":"exceed_context_size_error","n_prompt_tokens":5000,"n_ctx":4096}}`, jobs.Overflow, jobs.Free, "exceed_context_size_error", ""},
		"llama.cpp loading":                    {503, `{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}`, jobs.ServerError, jobs.Free, "unavailable_error", "Loading"},
		"ollama model":                         {404, `{"error":{"message":"model \"llama9\" not found, try pulling it first","type":"api_error","param":null,"code":null}}`, jobs.NoQuota, jobs.Free, "api_error", "pulling"},
		"text-generation-inference":            {422, "{\"error\":\"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096\",\"error_type\":\"validation\"}", jobs.Overflow, jobs.Free, "", "validation"},
		"text-generation-inference, failed":    {424, `{"error":"Request failed during generation: Server error: CUDA out of memory","error_type":"generation"}`, jobs.ServerError, jobs.Presumed, "", "CUDA"},
		"a proxy's key":                        {407, ``, jobs.NoQuota, jobs.Free, "", "Proxy Authentication Required"},
		"too early":                            {425, ``, jobs.ServerError, jobs.Free, "", "Too Early"},
		"mistral":                              {422, `{"object":"error","message":{"detail":[{"type":"extra_forbidden","loc":["body","x"],"msg":"Extra inputs are not permitted"}]},"type":"invalid_request_error"}`, jobs.InvalidRequest, jobs.Free, "invalid_request_error", "not permitted"},
		"mistral model":                        {400, `{"object":"error","message":"Invalid model: mistral-9","type":"invalid_model","param":null,"code":"1500"}`, jobs.NoQuota, jobs.Free, "1500", "mistral-9"},
		"deepseek model":                       {400, `{"error":{"message":"Model Not Exist","type":"invalid_request_error","param":null,"code":"invalid_request_error"}}`, jobs.NoQuota, jobs.Free, "invalid_request_error", ""},
		"openrouter model":                     {400, `{"error":{"message":"acme/nine is not a valid model ID","code":400},"user_id":"user_1"}`, jobs.NoQuota, jobs.Free, "", "acme/nine"},
		"deepseek balance":                     {402, `{"error":{"message":"Insufficient Balance","type":"unknown_error","param":null,"code":"invalid_request_error"}}`, jobs.NoQuota, jobs.Free, "invalid_request_error", ""},
		"openrouter moderation":                {403, `{"error":{"code":403,"message":"meta/llama requires moderation. Your input was flagged","metadata":{"reasons":["violence"]}}}`, jobs.Refused, jobs.Presumed, "", "flagged"},
		"groq capacity":                        {498, `{"error":{"message":"capacity exceeded","type":"capacity_exceeded"}}`, jobs.RateLimited, jobs.Free, "capacity_exceeded", ""},
		"xai context":                          {400, `{"code":"Client specified an invalid argument","error":"This model's maximum prompt length is 131072 but the request contains 537812 tokens."}`, jobs.Overflow, jobs.Free, "", "537812"},
		"xai content":                          {403, `{"code":"The caller does not have permission to execute the specified operation","error":"Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO"}`, jobs.Refused, jobs.Presumed, "", "guidelines"},
		"xai credits":                          {429, `{"code":"Some resource has been exhausted","error":"Your team has either used all available credits or reached its monthly spending limit."}`, jobs.NoQuota, jobs.Free, "", "credits"},
		"moonshot context":                     {400, `{"error":{"message":"Invalid request: Your request exceeded model token limit: 262144 (requested: 291351)","type":"invalid_request_error"}}`, jobs.Overflow, jobs.Free, "invalid_request_error", "291351"},
		"moonshot quota":                       {429, `{"error":{"message":"Your account is suspended due to insufficient balance, please recharge your account","type":"exceeded_current_quota_error"}}`, jobs.NoQuota, jobs.Free, "exceeded_current_quota_error", ""},
		"moonshot thoughts":                    {400, `{"error":{"message":"thinking is enabled but reasoning_content is missing in assistant tool call message at index 2","type":"invalid_request_error"}}`, jobs.Refused, jobs.Free, "invalid_request_error", ""},
		"deepseek content":                     {400, `{"error":{"message":"Content Exists Risk","type":"invalid_request_error","param":null,"code":"invalid_request_error"}}`, jobs.Refused, jobs.Presumed, "invalid_request_error", "Risk"},
		"dashscope context":                    {400, `{"error":{"code":"invalid_parameter_error","message":"<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 98304]","type":"invalid_request_error"}}`, jobs.Overflow, jobs.Free, "invalid_parameter_error", ""},
		"dashscope longest answer":             {400, `{"error":{"code":"invalid_parameter_error","message":"<400> InternalError.Algo.InvalidParameter: Range of max_tokens should be [1, 8192]","type":"invalid_request_error"}}`, jobs.NoQuota, jobs.Free, "invalid_parameter_error", "lower its max_output"},
		"dashscope content":                    {400, `{"error":{"code":"data_inspection_failed","message":"Input data may contain inappropriate content.","type":"data_inspection_failed"}}`, jobs.Refused, jobs.Presumed, "data_inspection_failed", ""},
		"dashscope balance":                    {400, `{"error":{"code":"Arrearage","message":"Access denied, please make sure your account is in good standing.","type":"Arrearage"}}`, jobs.NoQuota, jobs.Free, "Arrearage", ""},
		"openai embeddings context":            {400, `{"error":{"message":"Invalid 'input[0]': maximum input length is 8192 tokens.","type":"invalid_request_error","param":null,"code":null}}`, jobs.Overflow, jobs.Free, "invalid_request_error", "8192"},
		"openai embeddings in all":             {400, `{"error":{"message":"Requested 306823 tokens, max 300000 tokens per request","type":"max_tokens_per_request","param":null,"code":"max_tokens_per_request"}}`, jobs.Overflow, jobs.Free, "max_tokens_per_request", ""},
		"openai temperature":                   {400, `{"error":{"message":"Unsupported value: 'temperature' does not support 0.2 with this model. Only the default (1) value is supported.","type":"invalid_request_error","param":"temperature","code":"unsupported_value"}}`, jobs.Refused, jobs.Free, "unsupported_value", ""},
		"openai tools elsewhere":               {400, `{"error":{"message":"Function tools with reasoning_effort are not supported for gpt-5.6-terra in /v1/chat/completions. To use function tools, use /v1/responses or set reasoning_effort to 'none'.","type":"invalid_request_error","param":"reasoning_effort","code":null}}`, jobs.Refused, jobs.Free, "invalid_request_error", "/v1/responses"},
		"anthropic temperature":                {400, "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"`temperature` is deprecated for this model.\"}}", jobs.Refused, jobs.Free, "invalid_request_error", ""},
		"anthropic prefill":                    {400, `{"type":"error","error":{"type":"invalid_request_error","message":"This model does not support assistant message prefill. The conversation must end with a user message."}}`, jobs.Refused, jobs.Free, "invalid_request_error", ""},
		"azure calls":                          {429, `{"error":{"code":"429","message":"Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-10-21 have exceeded call rate limit of your current OpenAI S0 pricing tier. Please retry after 38 seconds."}}`, jobs.RateLimited, jobs.Free, "429", ""},
		"vllm prompt":                          {400, `{"object":"error","message":"The decoder prompt (length 15083) is longer than the maximum model length of 8192. Make sure that max_model_len is no smaller.","type":"BadRequestError","param":null,"code":400}`, jobs.Overflow, jobs.Free, "BadRequestError", "15083"},
		"vllm no room":                         {400, `{"object":"error","message":"max_tokens must be at least 1, got -904.","type":"BadRequestError","param":null,"code":400}`, jobs.Overflow, jobs.Free, "BadRequestError", ""},
		"vllm tools":                           {400, `{"object":"error","message":"\"auto\" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set","type":"BadRequestError","param":null,"code":400}`, jobs.Refused, jobs.Free, "BadRequestError", ""},
		"ollama tools":                         {400, `{"error":{"message":"registry.ollama.ai/library/gemma3:latest does not support tools","type":"api_error","param":null,"code":null}}`, jobs.Refused, jobs.Free, "api_error", ""},
		"groq call":                            {400, `{"error":{"message":"Failed to call a function. Please adjust your prompt. See 'failed_generation' for more details.","type":"invalid_request_error","code":"tool_use_failed","failed_generation":"<function=x>"}}`, jobs.InvalidAnswer, jobs.Presumed, "tool_use_failed", ""},
		"groq JSON":                            {400, `{"error":{"message":"Failed to generate JSON. Please adjust your prompt. See 'failed_generation' for more details.","type":"invalid_request_error","code":"json_validate_failed","failed_generation":""}}`, jobs.InvalidAnswer, jobs.Presumed, "json_validate_failed", ""},
		"gemini cancelled":                     {499, `{"error":{"code":499,"message":"The operation was cancelled.","status":"CANCELLED"}}`, jobs.ServerError, jobs.Presumed, "CANCELLED", ""},
		"openrouter, behind it":                {400, `{"error":{"message":"Provider returned error","code":400,"metadata":{"raw":"{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"prompt is too long: 217779 tokens > 200000 maximum\"}}","provider_name":"Anthropic"}}}`, jobs.Overflow, jobs.Free, "invalid_request_error", "Provider returned error: prompt is too long: 217779"},
		"openrouter, behind it in words":       {400, `{"error":{"message":"Provider returned error","code":400,"metadata":{"raw":"ERROR: context length exceeded","provider_name":"x"}}}`, jobs.Overflow, jobs.Free, "", "context length exceeded"},
		"openrouter tools":                     {404, `{"error":{"message":"No endpoints found that support tool use. To learn more about provider routing, visit: https://openrouter.ai/docs/guides/routing/provider-selection","code":404}}`, jobs.Refused, jobs.Free, "", ""},
		"openrouter model gone":                {404, `{"error":{"message":"No endpoints found for acme/nine.","code":404}}`, jobs.NoQuota, jobs.Free, "", "acme/nine"},
		"openai schema":                        {400, `{"error":{"message":"Invalid schema for response_format 'answer': In context=(), 'additionalProperties' is required to be supplied and to be false.","type":"invalid_request_error","param":"response_format","code":null}}`, jobs.Refused, jobs.Free, "invalid_request_error", ""},
		"anthropic schema":                     {400, `{"type":"error","error":{"type":"invalid_request_error","message":"Schemas contains too many optional parameters (31), which would make grammar compilation inefficient. (limit: 24)"}}`, jobs.Refused, jobs.Free, "invalid_request_error", ""},
		"anthropic picture":                    {400, `{"type":"error","error":{"type":"invalid_request_error","message":"messages.0.content.1.image.source.base64: image exceeds 5 MB maximum: 6096280 bytes > 5242880 bytes"}}`, jobs.Refused, jobs.Free, "invalid_request_error", ""},
		"gemini schema":                        {400, `{"error":{"code":400,"message":"The specified schema produces a constraint that has too many states for serving.","status":"INVALID_ARGUMENT"}}`, jobs.Refused, jobs.Free, "INVALID_ARGUMENT", ""},
		"gemini size":                          {400, `{"error":{"code":400,"message":"Request payload size exceeds the limit: 20971520 bytes.","status":"INVALID_ARGUMENT"}}`, jobs.Overflow, jobs.Free, "INVALID_ARGUMENT", ""},
		"cloudflare":                           {524, `<html>A timeout occurred</html>`, jobs.ServerError, jobs.Presumed, "", "explanation"},
		"gateway":                              {502, `<html><h1>502 Bad Gateway</h1></html>`, jobs.ServerError, jobs.Presumed, "", "Bad Gateway"},
		"nothing":                              {404, ``, jobs.NoQuota, jobs.Free, "", "Not Found"},
		"a file that is not there":             {404, `{"error":{"message":"No such File object: file-1","type":"invalid_request_error","code":null}}`, jobs.InvalidRequest, jobs.Free, "invalid_request_error", ""},
		"conflict":                             {409, `{}`, jobs.ServerError, jobs.Free, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := mustNew(t, model("openai"), says(row.status, nil, row.body)).Ask(t.Context(), prompt("x"), 0)
			f := failure(t, err)
			if f.Kind != row.kind || f.Billing != row.billing || f.Code != row.code || f.Status != row.status {
				t.Errorf("got %s %s %q %d, want %s %s %q", f.Kind, f.Billing, f.Code, f.Status, row.kind, row.billing, row.code)
			}
			if !strings.Contains(f.Message, row.message) {
				t.Errorf("message %q lacks %q", f.Message, row.message)
			}
			if row.body != "" && !json.Valid(f.Body) {
				t.Errorf("body %q is no JSON", f.Body)
			}
		})
	}
}

func TestWaitsAreRead(t *testing.T) {
	date := "Mon, 23 Nov 2026 12:00:00 GMT"
	for name, row := range map[string]struct {
		header map[string]string
		want   time.Duration
	}{
		"seconds":            {map[string]string{"Retry-After": "7"}, 7 * time.Second},
		"fraction":           {map[string]string{"Retry-After": "0.5"}, 500 * time.Millisecond},
		"milliseconds first": {map[string]string{"Retry-After": "7", "Retry-After-Ms": "6400"}, 6400 * time.Millisecond},
		"date":               {map[string]string{"Date": date, "Retry-After": "Mon, 23 Nov 2026 12:00:09 GMT"}, 9 * time.Second},
		"date gone by":       {map[string]string{"Date": date, "Retry-After": "Mon, 23 Nov 2026 11:00:09 GMT"}, 0},
		"negative":           {map[string]string{"Retry-After": "-7"}, 0},
		"absurd":             {map[string]string{"Retry-After": "1e300"}, 24 * time.Hour},
		"nonsense":           {map[string]string{"Retry-After": "soon"}, 0},
		"not a number":       {map[string]string{"Retry-After": "NaN"}, 0},
		"requests used up":   {map[string]string{"X-Ratelimit-Remaining-Requests": "0", "X-Ratelimit-Reset-Requests": "1m30s", "X-Ratelimit-Remaining-Tokens": "5", "X-Ratelimit-Reset-Tokens": "6m0s"}, 90 * time.Second},
		"tokens used up":     {map[string]string{"X-Ratelimit-Remaining-Requests": "5", "X-Ratelimit-Reset-Requests": "20ms", "X-Ratelimit-Remaining-Tokens": "0", "X-Ratelimit-Reset-Tokens": "6m0s"}, 6 * time.Minute},
		"nobody knows which": {map[string]string{"X-Ratelimit-Remaining-Requests": "5", "X-Ratelimit-Reset-Requests": "20ms", "X-Ratelimit-Remaining-Tokens": "5", "X-Ratelimit-Reset-Tokens": "1s"}, time.Second},
		"anthropic":          {map[string]string{"Date": date, "Anthropic-Ratelimit-Requests-Remaining": "0", "Anthropic-Ratelimit-Requests-Reset": "2026-11-23T12:00:40Z"}, 40 * time.Second},
		"Unix time":          {map[string]string{"Date": date, "X-Ratelimit-Remaining-Requests": "0", "X-Ratelimit-Reset-Requests": "1795435230"}, 30 * time.Second},
		"Unix milliseconds":  {map[string]string{"Date": date, "X-Ratelimit-Remaining-Requests": "0", "X-Ratelimit-Reset-Requests": "1795435230500"}, 30500 * time.Millisecond},
		"a day's used up":    {map[string]string{"X-Ratelimit-Remaining-Requests": "0", "X-Ratelimit-Reset-Requests": "2h0m0s", "X-Ratelimit-Remaining-Tokens": "5"}, 2 * time.Hour},
		"openrouter":         {map[string]string{"Date": date, "X-Ratelimit-Limit": "20", "X-Ratelimit-Remaining": "0", "X-Ratelimit-Reset": "1795435230000"}, 30 * time.Second},
		"used up, no reset":  {map[string]string{"X-Ratelimit-Remaining-Requests": "0"}, 0},
		"nothing":            {nil, 0},
	} {
		h := http.Header{}
		for k, v := range row.header {
			h.Set(k, v)
		}
		if got := retryAfter(429, h); got != row.want {
			t.Errorf("%s: %v, want %v", name, got, row.want)
		}
	}
}

func TestQuotaHeadersAreRead(t *testing.T) {
	const date = "Mon, 23 Nov 2026 12:00:00 GMT"
	for name, row := range map[string]struct {
		header map[string]string
		want   *jobs.Quota
	}{
		"openai": {map[string]string{
			"x-ratelimit-limit-requests": "500", "x-ratelimit-remaining-requests": "499", "x-ratelimit-reset-requests": "120ms",
			"x-ratelimit-limit-tokens": "30000", "x-ratelimit-remaining-tokens": "29000", "x-ratelimit-reset-tokens": "2s"},
			&jobs.Quota{RequestsLimit: 500, RequestsLeft: 499, RequestsReset: 120 * time.Millisecond, TokensLimit: 30000, TokensLeft: 29000, TokensReset: 2 * time.Second}},
		"groq, whose requests are a day's": {map[string]string{
			"x-ratelimit-limit-requests": "14400", "x-ratelimit-remaining-requests": "14370", "x-ratelimit-reset-requests": "2m59.56s",
			"x-ratelimit-limit-tokens": "18000", "x-ratelimit-remaining-tokens": "17997", "x-ratelimit-reset-tokens": "7.66s"},
			&jobs.Quota{RequestsLimit: -1, RequestsLeft: -1, RequestsReset: -1, TokensLimit: 18000, TokensLeft: 17997, TokensReset: 7660 * time.Millisecond}},
		"mistral": {map[string]string{
			"x-ratelimit-limit-req-minute": "720", "x-ratelimit-remaining-req-minute": "717",
			"x-ratelimit-limit-tokens-minute": "5000000", "x-ratelimit-remaining-tokens-minute": "4999911", "x-ratelimit-tokens-query-cost": "52"},
			&jobs.Quota{RequestsLimit: 720, RequestsLeft: 717, RequestsReset: -1, TokensLimit: 5000000, TokensLeft: 4999911, TokensReset: -1}},
		"cerebras": {map[string]string{
			"x-ratelimit-limit-requests-day": "1000", "x-ratelimit-remaining-requests-day": "750", "x-ratelimit-reset-requests-day": "3600",
			"x-ratelimit-limit-tokens-minute": "100000", "x-ratelimit-remaining-tokens-minute": "90000", "x-ratelimit-reset-tokens-minute": "30.5"},
			&jobs.Quota{RequestsLimit: -1, RequestsLeft: -1, RequestsReset: -1, TokensLimit: 100000, TokensLeft: 90000, TokensReset: 30500 * time.Millisecond}},
		"anthropic, output is what is used up": {map[string]string{"date": date,
			"anthropic-ratelimit-tokens-limit": "96000", "anthropic-ratelimit-tokens-remaining": "84000", "anthropic-ratelimit-tokens-reset": "2026-11-23T12:00:10Z",
			"anthropic-ratelimit-input-tokens-limit": "80000", "anthropic-ratelimit-input-tokens-remaining": "80000",
			"anthropic-ratelimit-output-tokens-limit": "16000", "anthropic-ratelimit-output-tokens-remaining": "4000"},
			&jobs.Quota{RequestsLimit: -1, RequestsLeft: -1, RequestsReset: -1, TokensLimit: 96000, TokensLeft: 24000, TokensReset: 10 * time.Second}},
		"anthropic, by its parts alone": {map[string]string{
			"anthropic-ratelimit-input-tokens-limit": "80000", "anthropic-ratelimit-input-tokens-remaining": "40000",
			"anthropic-ratelimit-output-tokens-limit": "20000", "anthropic-ratelimit-output-tokens-remaining": "20000"},
			&jobs.Quota{RequestsLimit: -1, RequestsLeft: -1, RequestsReset: -1, TokensLimit: 100000, TokensLeft: 50000, TokensReset: -1}},
		"anthropic": {map[string]string{"date": date,
			"anthropic-ratelimit-requests-limit": "50", "anthropic-ratelimit-requests-remaining": "49", "anthropic-ratelimit-requests-reset": "2026-11-23T12:00:01Z",
			"anthropic-ratelimit-tokens-limit": "40000", "anthropic-ratelimit-tokens-remaining": "39000", "anthropic-ratelimit-tokens-reset": "2026-11-23T12:01:00Z"},
			&jobs.Quota{RequestsLimit: 50, RequestsLeft: 49, RequestsReset: time.Second, TokensLimit: 40000, TokensLeft: 39000, TokensReset: time.Minute}},
		"of a day": {map[string]string{"x-ratelimit-remaining-requests": "9", "x-ratelimit-limit-requests": "10", "x-ratelimit-reset-requests": "2h0m0s"},
			&jobs.Quota{RequestsLimit: -1, RequestsLeft: -1, TokensLimit: -1, TokensLeft: -1, RequestsReset: -1, TokensReset: -1}},
		"nonsense": {map[string]string{"x-ratelimit-limit-requests": "-5", "x-ratelimit-remaining-tokens": "many"}, nil},
		"nothing":  {nil, nil},
	} {
		h := http.Header{}
		for k, v := range row.header {
			h.Set(k, v)
		}
		if d := cmp.Diff(row.want, quota(h)); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

func FuzzHeaders(f *testing.F) {
	f.Add("1.5", "6m0s", "2026-11-23T12:00:40Z", "Mon, 23 Nov 2026 12:00:00 GMT")
	f.Add("Mon, 23 Nov 2026 12:00:00 GMT", "-1e400", "0", "x")
	f.Fuzz(func(t *testing.T, after, openai, anthropic, date string) {
		h := http.Header{
			"Retry-After": {after}, "Date": {date}, "Retry-After-Ms": {openai},
			"X-Ratelimit-Remaining-Requests": {after}, "X-Ratelimit-Reset-Requests": {openai},
			"Anthropic-Ratelimit-Tokens-Remaining": {openai}, "Anthropic-Ratelimit-Tokens-Reset": {anthropic},
		}
		if d := retryAfter(429, h); d < 0 || d > longestWait {
			t.Errorf("waits %v", d)
		}
		if q := quota(h); q != nil && (q.RequestsLeft < -1 || q.TokensLeft < -1 || q.RequestsReset > longestWait || q.TokensReset > longestWait) {
			t.Errorf("quota %+v", *q)
		}
	})
}

func FuzzResponses(f *testing.F) {
	f.Add(200, `{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}`)
	f.Add(200, `{"output":[{"type":"message","content":[{"type":"refusal","refusal":"No"}]}]}`)
	f.Add(200, `{"content":[{"type":"text","text":"Hi"}],"usage":{"input_tokens":1e99}}`)
	f.Add(200, `{"content":[{"type":"tool_use","id":"a","name":"b","input":[1]}],"stop_reason":"refusal","stop_details":{"explanation":"no"}}`)
	f.Add(200, `{"candidates":[{"content":{"parts":[{"text":"a","thought":true},{"functionCall":{"name":"x","args":{}},"thoughtSignature":"s"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":3,"cachedContentTokenCount":9,"thoughtsTokenCount":-1}}`)
	f.Add(200, `{"promptFeedback":{"blockReason":"SAFETY"}}`)
	f.Add(200, `{"candidates":[{"finishReason":"MALFORMED_FUNCTION_CALL"}]}`)
	f.Add(200, `{"data":[{"embedding":[0.1,2]}],"usage":{"prompt_tokens":2,"total_tokens":2}}`)
	f.Add(200, `{"status":"failed","error":{"code":"rate_limit_exceeded","message":"slow down"},"output":[]}`)
	f.Add(429, `{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"quota","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"-1e9s"},{"reason":7}]}}`)
	f.Add(400, `{"error":{"code":400,"details":[{"reason":"API_KEY_INVALID"}]},"request_id":{}}`)
	f.Add(429, `[{"error":{"message":"x","code":429}}]`)
	f.Add(400, `{"error":"x"}`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 599 {
			return
		}
		ready := &jobs.Request{Endpoint: responsesEndpoint, Body: []byte(`{}`)}
		for _, provider := range providers {
			c := mustNew(t, model(provider), says(status, nil, body))
			for _, req := range []*jobs.Request{prompt("x"), ready} {
				a, err := c.Ask(t.Context(), req, 0)
				if (a == nil) == (err == nil) {
					t.Fatalf("both or neither: %v %v", a, err)
				}
				if err != nil {
					if f := failure(t, err); f.Kind == "" || f.Body != nil && !gjson.ValidBytes(f.Body) {
						t.Errorf("%+v", f)
					}
					continue
				}
				if u := a.Usage; u.Total() <= 0 || u.Input < 0 || u.Output < 0 || u.CachedInput+u.CacheWrite > u.Input || u.Reasoning > u.Output {
					t.Errorf("usage %+v of %q", u, body)
				}
			}
		}
	})
}

func TestOpenRouterSaysInItsErrorWhenToComeBack(t *testing.T) {
	t.Parallel()
	body := fmt.Sprintf(`{"error":{"message":"Rate limit exceeded: free-models-per-min. ","code":429,"metadata":{"headers":{"X-RateLimit-Limit":"20","X-RateLimit-Remaining":"0","X-RateLimit-Reset":"%d"}}}}`,
		time.Now().Add(time.Minute).UnixMilli())
	_, err := mustNew(t, model("openai"), says(429, nil, body)).Ask(t.Context(), prompt("x"), 0)
	if f := failure(t, err); f.Kind != jobs.RateLimited || f.RetryAfter < 50*time.Second || f.RetryAfter > 62*time.Second {
		t.Errorf("%v, after %v", f, f.RetryAfter)
	}
}
