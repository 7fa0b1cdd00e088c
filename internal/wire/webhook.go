package wire

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/jobs"
)

// webhook is an address that is told of alerts.
type webhook struct {
	url    string
	secret jobs.Secret
	client *http.Client
	waits  []time.Duration // before each further try
}

// newWebhook returns the configured one, or nil.
func newWebhook(c *config.Config) (*webhook, error) {
	if c.Alerts.Webhook == "" {
		return nil, nil
	}
	secret, err := c.WebhookSecret()
	if err != nil {
		return nil, err
	}
	client := &http.Client{Timeout: 5 * time.Second, CheckRedirect: noRedirects}
	return &webhook{c.Alerts.Webhook, secret, client, []time.Duration{time.Second, 5 * time.Second, 15 * time.Second}}, nil
}

// noRedirects keeps the secret from going anywhere else.
func noRedirects(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// post blocks until the webhook has taken the message or every try has failed,
// which takes at most 41 s: less than the time after which another worker would
// tell of the same alert.
func (h *webhook) post(ctx context.Context, body []byte) error {
	err := h.try(ctx, body)
	for i := 0; err != nil && i < len(h.waits); i++ {
		t := time.NewTimer(h.waits[i])
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return err
		}
		err = h.try(ctx, body)
	}
	return err
}

func (h *webhook) try(ctx context.Context, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url, bytes.NewReader(body))
	if err != nil {
		return h.plain(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if secret := h.secret.Reveal(); secret != "" {
		req.Header.Set("Authorization", "Bearer "+secret)
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return h.plain(err)
	}
	if err := resp.Body.Close(); err != nil {
		return h.plain(err)
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("it answers %s", resp.Status)
	}
	return nil
}

// plain leaves the address out of an error: many webhooks keep their secret in
// its path.
func (h *webhook) plain(err error) error {
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		return wrapped.Err
	}
	return err
}
