package ingress

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/valyala/fasthttp"

	"runhook/shared/task"
	"runhook/shared/web"
)

const benchBody = `{"QueryParameters":{"FirstName":"Ann","LastName":"Lee"}}`

// posted is a POST as a handler gets it. The router's part, the path's segment, is set by hand.
func posted() *fasthttp.RequestCtx {
	var rc fasthttp.RequestCtx
	request := &fasthttp.Request{}
	request.Header.SetMethod(fasthttp.MethodPost)
	request.SetRequestURI("/task/executepolling/" + membersID)
	request.Header.SetHost("hooks.example.org")
	request.Header.SetContentType("application/json")
	request.SetBodyString(benchBody)
	rc.Init(request, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, nil)
	rc.SetUserValue("task", membersID)
	return &rc
}

// BenchmarkParameters is what a POST costs before it is stored: the body to resolved values.
func BenchmarkParameters(b *testing.B) {
	def, rc := parse(b, members), posted()
	b.ReportAllocs()
	for b.Loop() {
		asked, err := parameters(rc, def)
		if err != nil || asked.values["FirstName"].From != task.FromRequest {
			b.Fatal(asked, err)
		}
	}
}

// BenchmarkPost is one POST in the handler with its store; BenchmarkSocket/constant is the limit
// that the whole can only come near to.
func BenchmarkPost(b *testing.B) {
	h := open(b, nil)
	in := New(Options{Runs: h.Runs, Tasks: h.Tasks, Log: zerolog.Nop()})
	handle := in.post(in.answerPolling, false)
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		rc := posted()
		for pb.Next() {
			rc.Response.Reset()
			if err := handle(b.Context(), rc); err != nil || rc.Response.StatusCode() != fasthttp.StatusAccepted {
				b.Error(rc.Response.String(), err)
				return
			}
		}
	})
}

// BenchmarkSocket compares POSTs over sockets: to the webhook, and to a handler that does nothing.
func BenchmarkSocket(b *testing.B) {
	h := open(b, nil)
	constant, err := web.New(web.Options{Listen: "127.0.0.1:0", Log: zerolog.Nop()}, []web.Route{{
		Method: fasthttp.MethodPost, Pattern: "/task/executepolling/{task}", CORS: web.AnyOrigin,
		Handler: func(_ context.Context, rc *fasthttp.RequestCtx) error {
			rc.SetStatusCode(fasthttp.StatusAccepted)
			rc.SetBodyString(benchBody)
			return nil
		},
	}})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	served := make(chan error, 1)
	go func() { served <- constant.Run(ctx) }()
	defer func() {
		stop()
		if err := <-served; err != nil {
			b.Error(err)
		}
	}()
	for name, url := range map[string]string{"webhook": h.URL, "constant": constant.URL()} {
		b.Run(name, func(b *testing.B) {
			client := &fasthttp.HostClient{
				Addr: strings.TrimPrefix(url, "http://"), MaxConns: 256,
				Dial: func(addr string) (net.Conn, error) { return net.Dial("tcp", addr) },
				// The cleaner of idle connections sleeps this long before it ends.
				MaxIdleConnDuration: 200 * time.Millisecond,
			}
			defer client.CloseIdleConnections()
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				request, response := fasthttp.AcquireRequest(), fasthttp.AcquireResponse()
				request.Header.SetMethod(fasthttp.MethodPost)
				request.SetRequestURI(url + "/task/executepolling/" + membersID)
				for pb.Next() {
					request.SetBodyString(benchBody)
					if err := client.Do(request, response); err != nil || response.StatusCode() != fasthttp.StatusAccepted {
						b.Error(response.String(), err)
						return
					}
				}
			})
		})
	}
}
