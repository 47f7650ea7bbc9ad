package console_test

import (
	"fmt"
	"strings"
	"testing"

	"runhook/shared/bus"
	"runhook/shared/bustest"
	"runhook/shared/run"
	"runhook/shared/task"
)

// The page of a run shows the chain that it is part of as a tree, whose runs it leads to.
func testChains(t *testing.T, b *browser) {
	s := open(t, bustest.New(t, bus.Topology{}))
	first, second := s.apply("First <of all>"), s.apply("Second "+oneLine)
	parent := s.submit(first, nil).begin().end(run.Success, "done")
	after := func(by run.Number, link int) func(*run.Request) {
		return func(r *run.Request) { r.Trigger, r.StartedBy, r.Link = run.Chain, by, link }
	}
	child := s.submit(second, after(parent.doc.ImportID, 1)).begin().end(run.Failed, "not done")
	grandchild := s.submit(first, after(child.doc.ImportID, 2))
	p := s.signedIn(b, annToken)
	path := func(n run.Number) string { return fmt.Sprintf("/console/runs/%s", n) }
	p.visit(s.url + path(child.doc.ImportID))
	shows := func(n run.Number) {
		p.until(fmt.Sprintf(`document.readyState === 'complete' && document.querySelector('h1')?.textContent.startsWith('Run %s ')`, n))
	}
	shows(child.doc.ImportID)
	p.accessible("a run of a chain")
	text, _ := p.eval(`document.querySelector('#chain').innerText`).(string)
	for _, want := range []string{"Success run 1 of First <of all>", "Failed run 2 of Second " + oneLine + " this run", "Queued run 3 of First <of all>"} {
		if !strings.Contains(strings.Join(strings.Fields(text), " "), want) {
			t.Errorf("the chain does not have %q:\n%s", want, text)
		}
	}
	if depth := p.eval(`document.querySelectorAll('#chain .chain .chain a').length`); depth != 1.0 {
		t.Errorf("%v runs are below the one that is shown", depth)
	}
	if here := p.eval(`document.querySelector('#chain [aria-current=true] > a')`); here != nil {
		t.Error("the run leads to itself")
	}
	if facts, _ := p.eval(`document.querySelector('.facts').innerText`).(string); !strings.Contains(strings.Join(strings.Fields(facts), " "), "Started by chain Follows run 1") {
		t.Errorf("the details: %s", facts)
	}
	p.click(`document.querySelectorAll('#chain .chain .chain a')[0]`)
	p.until(fmt.Sprintf(`location.pathname === %q`, path(grandchild.doc.ImportID)))
	// A chain of as many runs as may be has room on a phone, with long names too.
	last := s.submit(second, nil).begin().end(run.Success, "done")
	for link := 1; link < task.MaxChain; link++ {
		last = s.submit(second, after(last.doc.ImportID, link)).begin().end(run.Success, "done")
	}
	p.visit(s.url + path(last.doc.ImportID))
	shows(last.doc.ImportID)
	p.until(fmt.Sprintf(`document.querySelectorAll('#chain li').length === %d`, task.MaxChain))
	p.eval(`document.querySelector('#chain').scrollIntoView()`)
	p.accessible("a long chain")
	p.must(p.session, "Emulation.setDeviceMetricsOverride", map[string]any{"width": 360, "height": 800, "deviceScaleFactor": 1, "mobile": true})
	if narrow, _ := p.eval(`Math.min(...[...document.querySelectorAll('#chain li')].map(li => li.getBoundingClientRect().width))`).(float64); narrow < 150 {
		t.Errorf("a run of the chain is %v px wide on a phone", narrow)
	}
	p.must(p.session, "Emulation.clearDeviceMetricsOverride", nil)
	plain := s.submit(second, nil)
	p.visit(s.url + path(plain.doc.ImportID))
	shows(plain.doc.ImportID)
	if there := p.eval(`document.querySelector('#chain')`); there != nil {
		t.Error("a run alone has a chain")
	}
}
