package tools

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// The client takes a page of a server's list apart, tool by tool, at some 30 KiB
// each, before anybody can count them. So they are counted on the way to it, and a
// page with too many becomes an error of the server's.

// crowded is the error of a result that lists more tools than any server may
// have; nil if it does not.
func crowded(result json.RawMessage) error {
	var of map[string]json.RawMessage
	_ = json.Unmarshal(result, &of) // what cannot be read is told by the client
	for key, list := range of {
		var tools []json.RawMessage
		if strings.EqualFold(key, "tools") && json.Unmarshal(list, &tools) == nil && len(tools) > mostTools {
			return fmt.Errorf("it has %d tools on one page, and may have %d in all", len(tools), mostTools)
		}
	}
	return nil
}

// counted is the transport of a command whose pages are counted.
type counted struct{ mcp.Transport }

// Connect implements mcp.Transport.
func (t counted) Connect(ctx context.Context) (mcp.Connection, error) {
	c, err := t.Transport.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return countedConnection{c}, nil
}

type countedConnection struct{ mcp.Connection }

// Read implements mcp.Connection.
func (c countedConnection) Read(ctx context.Context) (jsonrpc.Message, error) {
	m, err := c.Connection.Read(ctx)
	if r, ok := m.(*jsonrpc.Response); ok {
		if many := crowded(r.Result); many != nil {
			return &jsonrpc.Response{ID: r.ID, Error: many}, nil
		}
	}
	return m, err
}

// countedBody is the body of an answer: a message, or messages as server-sent
// events.
type countedBody struct {
	io.Closer
	in     *bufio.Reader
	events bool
	out    []byte // to be read
	err    error  // after it
}

func countBody(res *http.Response) io.ReadCloser {
	kind, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
	return &countedBody{Closer: res.Body, in: bufio.NewReader(res.Body), events: strings.EqualFold(strings.TrimSpace(kind), "text/event-stream")}
}

func (p *countedBody) Read(b []byte) (int, error) {
	for len(p.out) == 0 && p.err == nil {
		if p.events {
			p.event()
		} else {
			p.whole()
		}
	}
	n := copy(b, p.out)
	if p.out = p.out[n:]; len(p.out) == 0 {
		return n, p.err
	}
	return n, nil
}

func (p *countedBody) whole() {
	p.out, p.err = io.ReadAll(p.in)
	if p.err == nil {
		p.out, p.err = inPlaceOf(p.out), io.EOF
	}
}

// event reads up to the empty line that ends an event.
func (p *countedBody) event() {
	var raw, data []byte
	for {
		line, err := p.in.ReadBytes('\n')
		raw = append(raw, line...)
		line = bytes.TrimRight(line, "\r\n")
		if more, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			data = append(append(data, more...), '\n')
		}
		if err == nil && len(line) > 0 {
			continue
		}
		p.out, p.err = raw, err
		if instead := inPlaceOf(data); !bytes.Equal(instead, data) {
			p.out = fmt.Appendf(nil, "data: %s\n\n", instead)
		}
		return
	}
}

// inPlaceOf is a message as the client is to get it.
func inPlaceOf(message []byte) []byte {
	var of map[string]json.RawMessage
	_ = json.Unmarshal(message, &of)
	for key, result := range of {
		if !strings.EqualFold(key, "result") {
			continue
		}
		if many := crowded(result); many != nil {
			return fmt.Appendf(nil, `{"jsonrpc":"2.0","id":%s,"error":{"code":%d,"message":%q}}`, of["id"], jsonrpc.CodeInvalidRequest, many.Error())
		}
	}
	return message
}
