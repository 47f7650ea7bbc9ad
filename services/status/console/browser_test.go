package console_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"runhook/shared/proctest"
)

// browser is a Chromium as one test uses it.
type browser struct {
	*chromium
	t testing.TB
}

// in has another test use the same Chromium.
func (b *browser) in(t testing.TB) *browser { return &browser{b.chromium, t} }

// chromium is one without a window, which is told what to do by a pipe.
type chromium struct {
	tell io.Writer

	mu      sync.Mutex
	last    int
	waiting map[int]chan reply
	ended   error
}

// reply is what the browser answers to one message.
type reply struct {
	ID     int `json:"id"`
	Result json.RawMessage
	Error  *struct{ Message string }
}

// browse starts a browser, to which names that end in .example are this machine, and which takes any certificate.
func browse(t testing.TB) *browser {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("%v: .ci/needs installs it", err)
	}
	toldRead, tell, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	hear, saidWrite, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(path, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
		"--disable-component-update", "--disable-renderer-backgrounding", "--disable-background-timer-throttling", "--disable-backgrounding-occluded-windows", "--disable-sync", "--disable-dev-shm-usage", "--ignore-certificate-errors", "--host-resolver-rules=MAP *.example 127.0.0.1", "--user-data-dir="+t.TempDir(), "--remote-debugging-pipe")
	command.ExtraFiles = []*os.File{toldRead, saidWrite}
	process := proctest.Start(t, command)
	_, _ = toldRead.Close(), saidWrite.Close()
	b := &browser{&chromium{tell: tell, waiting: map[int]chan reply{}}, t}
	go b.listen(bufio.NewReader(hear))
	t.Cleanup(func() {
		_ = b.do("", "Browser.close", nil) // so that its helpers have ended when its folder is removed
		process.Wait()
		_, _ = tell.Close(), hear.Close()
	})
	return b
}

func (b *chromium) listen(from *bufio.Reader) {
	for {
		text, err := from.ReadBytes(0)
		b.mu.Lock()
		if err != nil {
			b.ended = err
			for _, waiting := range b.waiting {
				close(waiting)
			}
			b.mu.Unlock()
			return
		}
		var got reply
		if json.Unmarshal(bytes.TrimSuffix(text, []byte{0}), &got) == nil && b.waiting[got.ID] != nil {
			b.waiting[got.ID] <- got
			delete(b.waiting, got.ID)
		}
		b.mu.Unlock()
	}
}

// do has the browser do something, in one of its pages, and decodes the answer into one of these.
func (b *chromium) do(session, method string, parameters map[string]any, into ...any) error {
	answered := make(chan reply, 1)
	b.mu.Lock()
	if b.ended != nil {
		b.mu.Unlock()
		return b.ended
	}
	b.last++
	message := map[string]any{"id": b.last, "method": method, "params": parameters}
	if session != "" {
		message["sessionId"] = session
	}
	b.waiting[b.last] = answered
	text, err := json.Marshal(message)
	if err == nil {
		_, err = b.tell.Write(append(text, 0))
	}
	b.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case got, open := <-answered:
		switch {
		case !open:
			return errors.New("the browser has ended")
		case got.Error != nil:
			return fmt.Errorf("%s: %s", method, got.Error.Message)
		case len(into) > 0:
			return json.Unmarshal(got.Result, into[0])
		}
		return nil
	case <-time.After(proctest.Limit):
		return fmt.Errorf("%s is not answered", method)
	}
}

// page is a page of a browser, with cookies that it shares with no page of another profile.
type page struct {
	*browser
	session string
}

// profile opens an empty page with cookies of its own.
func (b *browser) profile() *page {
	b.t.Helper()
	var made struct{ BrowserContextID string }
	b.must("", "Target.createBrowserContext", nil, &made)
	return b.open(map[string]any{"url": "about:blank", "browserContextId": made.BrowserContextID})
}

func (b *browser) open(how map[string]any) *page {
	b.t.Helper()
	var target struct{ TargetID string }
	b.must("", "Target.createTarget", how, &target)
	return b.attach(target.TargetID)
}

func (b *browser) attach(target string) *page {
	b.t.Helper()
	var attached struct{ SessionID string }
	b.must("", "Target.attachToTarget", map[string]any{"targetId": target, "flatten": true}, &attached)
	p := &page{b, attached.SessionID}
	b.must(p.session, "Page.enable", nil)
	b.must(p.session, "Emulation.setFocusEmulationEnabled", map[string]any{"enabled": true}) // however many pages there are
	return p
}

func (b *browser) must(session, method string, parameters map[string]any, into ...any) {
	b.t.Helper()
	if err := b.do(session, method, parameters, into...); err != nil {
		b.t.Fatal(err)
	}
}

// visit has the page go to an address as if somebody had typed it, and waits until it is there.
func (p *page) visit(url string) {
	p.t.Helper()
	p.must(p.session, "Page.bringToFront", nil) // what is behind may not be drawn
	p.must(p.session, "Page.navigate", map[string]any{"url": "about:blank"})
	p.until(`location.href === 'about:blank'`)
	p.must(p.session, "Page.navigate", map[string]any{"url": url})
	p.until(`location.href !== 'about:blank' && document.readyState === 'complete'`)
}

// try evaluates an expression, which may be a promise, as a press of a button would.
func (p *page) try(expression string) (value any, err error) {
	var got struct {
		Result           struct{ Value any }
		ExceptionDetails *struct {
			Exception struct{ Description string }
		}
	}
	err = p.do(p.session, "Runtime.evaluate", map[string]any{"expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true}, &got)
	if err == nil && got.ExceptionDetails != nil {
		err = errors.New(got.ExceptionDetails.Exception.Description)
	}
	return got.Result.Value, err
}

func (p *page) eval(expression string) any {
	p.t.Helper()
	value, err := p.try(expression)
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// until waits until an expression is true, over changes of the page.
func (p *page) until(expression string) {
	p.t.Helper()
	proctest.Until(p.t, func() error {
		if value, err := p.try(expression); err != nil || value != true {
			text, _ := p.try(`location.href + '\n' + (document.body?.innerText ?? '')`)
			return fmt.Errorf("not %s (%v), %v, in %v", expression, value, err, text)
		}
		return nil
	})
}

// shows waits until the page has a heading.
func (p *page) shows(heading string) {
	p.t.Helper()
	p.until(fmt.Sprintf(`document.readyState === 'complete' && document.querySelector('h1')?.textContent === %q`, heading))
}

// text is what the page shows.
func (p *page) text() string {
	p.t.Helper()
	text, _ := p.eval(`document.body.innerText`).(string)
	return text
}

// keep writes a picture of the page, in each of its looks, into the folder that RUNHOOK_TEST_PICTURES names, for people.
func (p *page) keep(name string) {
	p.t.Helper()
	dir := os.Getenv("RUNHOOK_TEST_PICTURES")
	if dir == "" {
		return
	}
	p.must(p.session, "Page.bringToFront", nil) // what is behind may not be drawn
	for _, look := range []struct {
		name, scheme string
		width        int
	}{{"light", "light", 1200}, {"dark", "dark", 1200}, {"phone", "light", 360}} {
		p.must(p.session, "Emulation.setDeviceMetricsOverride", map[string]any{"width": look.width, "height": 800, "deviceScaleFactor": 1, "mobile": look.width < 400})
		p.must(p.session, "Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": look.scheme}}})
		if wide, _ := p.eval(`document.documentElement.scrollWidth > innerWidth`).(bool); wide {
			p.t.Errorf("%s is wider than %d", name, look.width)
		}
		var picture struct{ Data string }
		p.must(p.session, "Page.captureScreenshot", map[string]any{"format": "png"}, &picture)
		data, err := base64.StdEncoding.DecodeString(picture.Data)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+"-"+look.name+".png"), data, 0o644)
		}
		if err != nil {
			p.t.Fatal(err)
		}
	}
	p.must(p.session, "Emulation.clearDeviceMetricsOverride", nil)
}

// contextOf is the profile of a page, so that another page may share it.
func contextOf(p *page) string {
	p.t.Helper()
	var got struct {
		TargetInfo struct{ BrowserContextID string }
	}
	p.must(p.session, "Target.getTargetInfo", nil, &got)
	return got.TargetInfo.BrowserContextID
}

// elsewhere is a site of somebody else's, by a name of its own.
func elsewhere(t testing.TB) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<!doctype html><title>Elsewhere</title><body><h1>Elsewhere</h1>")
	}))
	t.Cleanup(server.Close)
	return strings.Replace(server.URL, "127.0.0.1", "evil.example", 1)
}
