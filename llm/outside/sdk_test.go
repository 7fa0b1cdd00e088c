package outside

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
	"github.com/openai/openai-go/v3/shared"
	"github.com/tidwall/gjson"
	"google.golang.org/genai"

	"github.com/drover-batch/drover/llm/simulator"
)

const (
	key      = "sk-test"
	document = "# Lease\n\nThe tenant pays 900 euros a month. Heating is extra."
	answer   = "Lease: The tenant pays 900 euros a month."
)

// bounded limits each test, as its clients wait for ever otherwise.
func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// serve runs a simulator and returns its address without a path.
func serve(t *testing.T, cfg simulator.Config) (*simulator.Server, string) {
	t.Helper()
	cfg.Key = key
	s, err := simulator.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	url, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, strings.TrimSuffix(url, "/v1")
}

func openAI(url string) openai.Client {
	return openai.NewClient(option.WithBaseURL(url+"/v1/"), option.WithAPIKey(key), option.WithMaxRetries(0))
}

func claude(url string) anthropic.Client {
	return anthropic.NewClient(anthropicoption.WithBaseURL(url), anthropicoption.WithAPIKey(key), anthropicoption.WithMaxRetries(0))
}

func google(t *testing.T, url string) *genai.Client {
	t.Helper()
	c, err := genai.NewClient(t.Context(), &genai.ClientConfig{
		APIKey: key, Backend: genai.BackendGeminiAPI, HTTPOptions: genai.HTTPOptions{BaseURL: url},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func ask(text string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{Model: "m", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(text)}}
}

func respond(text string) responses.ResponseNewParams {
	return responses.ResponseNewParams{Model: "m", Input: responses.ResponseNewParamsInputUnion{OfString: openai.String(text)}}
}

func say(text string) anthropic.MessageNewParams {
	return anthropic.MessageNewParams{Model: "m", MaxTokens: 300, Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock(text))}}
}

// told is what an SDK makes of an answer.
type told struct {
	text                             string
	input, cached, output, reasoning int64
}

func TestOfficialSDKsUnderstandTheSimulatorsAnswers(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]func(ctx context.Context, t *testing.T, url string) (told, error){
		"openai chat": func(ctx context.Context, _ *testing.T, url string) (told, error) {
			c := openAI(url)
			r, err := c.Chat.Completions.New(ctx, ask(document))
			if err != nil {
				return told{}, err
			}
			u := r.Usage
			return told{r.Choices[0].Message.Content, u.PromptTokens, u.PromptTokensDetails.CachedTokens, u.CompletionTokens, u.CompletionTokensDetails.ReasoningTokens}, nil
		},
		"openai responses": func(ctx context.Context, _ *testing.T, url string) (told, error) {
			c := openAI(url)
			r, err := c.Responses.New(ctx, respond(document))
			if err != nil {
				return told{}, err
			}
			u := r.Usage
			return told{r.OutputText(), u.InputTokens, u.InputTokensDetails.CachedTokens, u.OutputTokens, u.OutputTokensDetails.ReasoningTokens}, nil
		},
		"anthropic": func(ctx context.Context, _ *testing.T, url string) (told, error) {
			c := claude(url)
			r, err := c.Messages.New(ctx, say(document))
			if err != nil {
				return told{}, err
			}
			u := r.Usage
			if r.Content[0].AsThinking().Signature == "" {
				return told{}, fmt.Errorf("no thoughts ahead of the answer: %s", r.RawJSON())
			}
			return told{r.Content[len(r.Content)-1].Text, u.InputTokens + u.CacheReadInputTokens, u.CacheReadInputTokens, u.OutputTokens, gjson.Get(u.RawJSON(), "output_tokens_details.thinking_tokens").Int()}, nil
		},
		"gemini": func(ctx context.Context, t *testing.T, url string) (told, error) {
			r, err := google(t, url).Models.GenerateContent(ctx, "m", genai.Text(document), nil)
			if err != nil {
				return told{}, err
			}
			u := r.UsageMetadata
			return told{r.Text(), int64(u.PromptTokenCount), int64(u.CachedContentTokenCount), int64(u.CandidatesTokenCount + u.ThoughtsTokenCount), int64(u.ThoughtsTokenCount)}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, url := serve(t, simulator.Config{Cached: 0.5, Reasoning: 9})
			got, err := ask(bounded(t), t, url)
			if err != nil {
				t.Fatal(err)
			}
			e := s.Ledger(0)
			if len(e) != 1 || !strings.HasPrefix(got.text, answer) {
				t.Fatalf("got %+v, the ledger has %+v", got, e)
			}
			if want := (told{got.text, e[0].Input, e[0].Input / 2, e[0].Output, 9}); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
	}
}

func TestOfficialSDKsGetVectors(t *testing.T) {
	t.Parallel()
	_, url := serve(t, simulator.Config{})
	c := openAI(url)
	r, err := c.Embeddings.New(bounded(t), openai.EmbeddingNewParams{
		Model: "m", Dimensions: openai.Int(16), Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"one", "two"}},
	})
	if err != nil || len(r.Data) != 2 || len(r.Data[1].Embedding) != 16 || r.Usage.PromptTokens != 2 {
		t.Errorf("got %+v, %v", r, err)
	}
}

const schema = `{"type":"object","properties":{"rent":{"type":"integer","minimum":5}},"required":["rent"],"additionalProperties":false}`

func TestOfficialSDKsGetAnswersThatMatchTheirSchemas(t *testing.T) {
	t.Parallel()
	_, url := serve(t, simulator.Config{})
	ctx := bounded(t)
	var shape map[string]any
	if err := json.Unmarshal([]byte(schema), &shape); err != nil {
		t.Fatal(err)
	}
	var texts []string
	keep := func(text string, err error) {
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, text)
	}
	o, a := openAI(url), claude(url)
	chat := ask(document)
	chat.ResponseFormat.OfJSONSchema = &shared.ResponseFormatJSONSchemaParam{JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{Name: "a", Strict: openai.Bool(true), Schema: shape}}
	r1, err := o.Chat.Completions.New(ctx, chat)
	keep(r1.Choices[0].Message.Content, err)
	response := respond(document)
	response.Text.Format.OfJSONSchema = &responses.ResponseFormatTextJSONSchemaConfigParam{Name: "a", Schema: shape}
	r2, err := o.Responses.New(ctx, response)
	keep(r2.OutputText(), err)
	message := say(document)
	message.OutputConfig.Format.Schema = shape
	r3, err := a.Messages.New(ctx, message)
	keep(r3.Content[0].Text, err)
	r4, err := google(t, url).Models.GenerateContent(ctx, "m", genai.Text(document), &genai.GenerateContentConfig{ResponseMIMEType: "application/json", ResponseJsonSchema: shape})
	keep(r4.Text(), err)
	r5, err := google(t, url).Models.GenerateContent(ctx, "m", genai.Text(document), &genai.GenerateContentConfig{
		ResponseMIMEType: "application/json",
		ResponseSchema:   &genai.Schema{Type: genai.TypeObject, Properties: map[string]*genai.Schema{"rent": {Type: genai.TypeInteger, Minimum: genai.Ptr(5.0)}}},
	})
	keep(r5.Text(), err)
	if want := slices.Repeat([]string{`{"rent":5}`}, 5); !slices.Equal(texts, want) {
		t.Errorf("got %q", texts)
	}
}

func TestOfficialSDKsCallTools(t *testing.T) {
	t.Parallel()
	_, url := serve(t, simulator.Config{})
	ctx := bounded(t)
	text := document + ` [[simulate:call search {"query":"rent"}]]`
	parameters := map[string]any{"type": "object", "properties": map[string]any{"query": map[string]any{"type": "string"}}}
	var arguments []string

	chat := ask(text)
	chat.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{Name: "search", Parameters: parameters})}
	o, a := openAI(url), claude(url)
	r1, err := o.Chat.Completions.New(ctx, chat)
	if err != nil || r1.Choices[0].FinishReason != "tool_calls" {
		t.Fatalf("%+v, %v", r1, err)
	}
	arguments = append(arguments, r1.Choices[0].Message.ToolCalls[0].Function.Arguments)

	r2, err := o.Responses.New(ctx, respond(text))
	if err != nil {
		t.Fatal(err)
	}
	arguments = append(arguments, r2.Output[0].AsFunctionCall().Arguments)

	r3, err := a.Messages.New(ctx, say(text))
	if err != nil || r3.StopReason != anthropic.StopReasonToolUse {
		t.Fatalf("%+v, %v", r3, err)
	}
	arguments = append(arguments, string(r3.Content[0].AsToolUse().Input))

	r4, err := google(t, url).Models.GenerateContent(ctx, "m", genai.Text(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	args, _ := json.Marshal(r4.FunctionCalls()[0].Args)
	arguments = append(arguments, string(args))
	if want := slices.Repeat([]string{`{"query":"rent"}`}, 4); !slices.Equal(arguments, want) {
		t.Errorf("got %q", arguments)
	}
}

// refusals are what an SDK makes of an error.
type refusal struct {
	status int
	code   string
}

func TestOfficialSDKsUnderstandTheSimulatorsErrors(t *testing.T) {
	t.Parallel()
	_, url := serve(t, simulator.Config{Context: 500})
	ctx := bounded(t)
	o, a, g := openAI(url), claude(url), google(t, url)
	clients := map[string]func(text string) error{
		"chat":      func(text string) error { _, err := o.Chat.Completions.New(ctx, ask(text)); return err },
		"responses": func(text string) error { _, err := o.Responses.New(ctx, respond(text)); return err },
		"anthropic": func(text string) error { _, err := a.Messages.New(ctx, say(text)); return err },
		"gemini": func(text string) error {
			_, err := g.Models.GenerateContent(ctx, "m", genai.Text(text), nil)
			return err
		},
	}
	for text, want := range map[string]map[string]refusal{
		"[[simulate:402]]":            {"chat": {402, "insufficient_quota"}, "responses": {402, "insufficient_quota"}, "anthropic": {402, "billing_error"}, "gemini": {402, ""}},
		"[[simulate:429]]":            {"chat": {429, ""}, "responses": {429, ""}, "anthropic": {429, "rate_limit_error"}, "gemini": {429, "RESOURCE_EXHAUSTED"}},
		"[[simulate:529]]":            {"anthropic": {529, "overloaded_error"}},
		"[[simulate:503]]":            {"chat": {503, ""}, "gemini": {503, "UNAVAILABLE"}},
		strings.Repeat("long ", 1000): {"chat": {400, "context_length_exceeded"}, "anthropic": {400, "invalid_request_error"}, "gemini": {400, "INVALID_ARGUMENT"}},
	} {
		for client, want := range want {
			if got := understood(clients[client](text)); got != want {
				t.Errorf("%s, %.20s: %+v, want %+v", client, text, got, want)
			}
		}
	}
}

func understood(err error) refusal {
	if e, ok := errors.AsType[*openai.Error](err); ok {
		return refusal{e.StatusCode, e.Code}
	}
	if e, ok := errors.AsType[*anthropic.Error](err); ok {
		var body struct{ Error struct{ Type string } }
		_ = json.Unmarshal([]byte(e.RawJSON()), &body)
		return refusal{e.StatusCode, body.Error.Type}
	}
	if e, ok := errors.AsType[genai.APIError](err); ok {
		return refusal{e.Code, e.Status}
	}
	return refusal{}
}
