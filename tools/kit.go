package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// tool is something that can be run.
type tool struct {
	jobs.Tool     // what the model is told; its name is fit for any provider
	most      int // calls that one job may make, 0 for no limit
	size      int // bytes of a result
	run       func(ctx context.Context, d *jobs.Document, arguments json.RawMessage) (string, error)
}

// Kit is the tools that the jobs of a batch may use. It may be used by several
// goroutines.
type Kit struct {
	tools map[string]*tool // by the name that models use
	own   bool             // some of them read the job's own document
}

// Tools is what a model is told of them, in order of their names.
func (k *Kit) Tools() []jobs.Tool {
	list := make([]jobs.Tool, 0, len(k.tools))
	for _, name := range slices.Sorted(maps.Keys(k.tools)) {
		list = append(list, k.tools[name].Tool)
	}
	return list
}

// ReadsDocument reports whether the model can read the document by itself, so
// that it need not be in the prompt.
func (k *Kit) ReadsDocument() bool { return k.own }

// Run runs the tools that the last message of a conversation calls, all at the
// same time, and returns one reply for each call, in order. It blocks until
// the last has ended; tools end when ctx does. The conversation tells how
// often each was called before. ran, unless it is nil, is told of each tool that
// was run, from several goroutines.
func (k *Kit) Run(ctx context.Context, d *jobs.Document, talk []jobs.Message, ran Ran) []jobs.Message {
	calls := talk[len(talk)-1].Calls
	used := map[string]int{}
	for _, m := range talk[:len(talk)-1] {
		for _, c := range m.Calls {
			used[c.Name]++
		}
	}
	replies := make([]jobs.Message, len(calls))
	var running sync.WaitGroup
	for i, call := range calls {
		used[call.Name]++
		nth := used[call.Name]
		running.Go(func() {
			replies[i] = jobs.Message{Role: jobs.ToolRole, Reply: call.ID, Text: k.reply(ctx, d, call, nth, ran)}
		})
	}
	running.Wait()
	return replies
}

// Ran is told that a tool was run, when that began and whether it failed.
type Ran func(tool string, began time.Time, failed bool)

// reply is what one call comes to.
func (k *Kit) reply(ctx context.Context, d *jobs.Document, call jobs.ToolCall, nth int, ran Ran) string {
	t, ok := k.tools[call.Name]
	switch {
	case !ok:
		return failed(fmt.Errorf("there is no tool %q here; there are: %s", clip(clean(call.Name)), strings.Join(slices.Sorted(maps.Keys(k.tools)), ", ")))
	case t.most > 0 && nth > t.most:
		return failed(fmt.Errorf("%s may be called %s in one conversation, and was", call.Name, jobs.Counted(t.most, "time")))
	}
	arguments := json.RawMessage(call.Arguments)
	if strings.TrimSpace(call.Arguments) == "" {
		arguments = json.RawMessage("{}")
	}
	if !isObject(arguments) {
		return failed(errors.New("the arguments are not a JSON object"))
	}
	began := time.Now()
	text, err := t.guarded(ctx, d, arguments)
	if ran != nil {
		ran(t.Name, began, err != nil)
	}
	if err != nil {
		return limit(failed(err), t.size)
	}
	return limit(clean(text), t.size)
}

// guarded runs the tool; a panic is an error like any other. Only the
// runtime's own are quoted: others may hold what a document says.
func (t *tool) guarded(ctx context.Context, d *jobs.Document, arguments json.RawMessage) (text string, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("the tool panicked: a %T", v)
			if own, ok := v.(runtime.Error); ok {
				err = fmt.Errorf("the tool panicked: %w", own)
			}
		}
	}()
	return t.run(ctx, d, arguments)
}

func failed(err error) string { return "Error: " + clean(err.Error()) }

func isObject(data json.RawMessage) bool {
	var v map[string]json.RawMessage
	return json.Unmarshal(data, &v) == nil && v != nil
}
