package documents

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	library "github.com/klippa-app/go-pdfium"
	failures "github.com/klippa-app/go-pdfium/errors"
	"github.com/klippa-app/go-pdfium/references"
	"github.com/klippa-app/go-pdfium/requests"
	"github.com/klippa-app/go-pdfium/webassembly"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
)

// pdfium reads PDF files in WebAssembly, from where they can reach nothing: no
// file, no network, 1 GiB of memory and none of ours. Every file gets a fresh
// instance.
type pdfium struct {
	pool     library.Pool
	compiled wazero.CompilationCache
}

// startPDFium compiles the module, which takes 7 s of CPU (measured) the first
// time on a machine; what comes of it is kept in the user's cache folder.
func startPDFium() (*pdfium, error) {
	const pages = 16 << 10 // of 64 KiB
	compiled := compilationCache()
	pool, err := webassembly.Init(webassembly.Config{
		MaxTotal: 1, Stdout: io.Discard, Stderr: io.Discard,
		FSConfig: wazero.NewFSConfig(), // by default it sees the whole disk
		RuntimeConfig: wazero.NewRuntimeConfig().WithMemoryLimitPages(pages).WithCloseOnContextDone(true).
			WithCompilationCache(compiled).WithCoreFeatures(api.CoreFeaturesV2 | experimental.CoreFeaturesExceptionHandling),
	})
	if err != nil {
		return nil, fmt.Errorf("starting the PDF reader: %w", err)
	}
	return &pdfium{pool, compiled}, nil
}

// compilationCache is on disk if there is a place for it.
func compilationCache() wazero.CompilationCache {
	if dir, err := os.UserCacheDir(); err == nil {
		if kept, err := wazero.NewCompilationCacheWithDir(filepath.Join(dir, "drover", "pdfium")); err == nil {
			return kept
		}
	}
	return wazero.NewCompilationCache()
}

func (p *pdfium) close() {
	_ = p.pool.Close()
	_ = p.compiled.Close(context.Background())
}

// read returns the text of every page. When ctx is done it stops in the middle
// of anything, and is of no use afterwards.
func (p *pdfium) read(ctx context.Context, b *blob, most int) ([]string, error) {
	instance, err := p.pool.GetInstanceWithContext(ctx)
	if err != nil {
		return nil, fmt.Errorf("starting the PDF reader: %w", err)
	}
	killed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(killed)
		_ = instance.Kill()
	})
	defer func() {
		if stop() {
			_ = instance.Close()
		} else {
			<-killed
		}
	}()
	file, err := instance.OpenDocument(&requests.OpenDocument{FileReader: io.NewSectionReader(b, 0, b.size), FileReaderSize: b.size})
	if errors.Is(err, failures.ErrPassword) {
		return nil, errEncrypted
	}
	if err != nil {
		return nil, err
	}
	count, err := instance.FPDF_GetPageCount(&requests.FPDF_GetPageCount{Document: file.Document})
	if err != nil {
		return nil, err
	}
	var pages []string
	for i := range count.PageCount {
		text, err := pageText(instance, file.Document, i)
		if err != nil {
			return nil, err
		}
		if most -= len(text); most < 0 {
			return nil, errLarge
		}
		pages = append(pages, text)
	}
	return pages, nil
}

func pageText(instance library.Pdfium, file references.FPDF_DOCUMENT, index int) (string, error) {
	runs, err := runsOf(instance, requests.Page{ByIndex: &requests.PageByIndex{Document: file, Index: index}})
	if err != nil {
		return "", fmt.Errorf("page %d: %w", index+1, err)
	}
	return layout(runs), nil
}
