package web

import (
	"bytes"
	"strings"

	"github.com/valyala/fasthttp"
)

// setSafety sets what keeps a browser from taking an answer for something else.
func setSafety(rc *fasthttp.RequestCtx) {
	rc.Response.Header.Set(fasthttp.HeaderXContentTypeOptions, "nosniff")
}

// setInnerSafety sets what keeps an answer from inside out of pages of other sites.
func setInnerSafety(rc *fasthttp.RequestCtx) {
	header := &rc.Response.Header
	header.Set(fasthttp.HeaderXFrameOptions, "DENY")
	header.Set(fasthttp.HeaderContentSecurityPolicy, "default-src 'none'; frame-ancestors 'none'")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// asksForPrivate reports whether a preflight asks for a page of the internet to reach this network.
func asksForPrivate(header *fasthttp.RequestHeader) bool {
	return len(header.Peek("Access-Control-Request-Private-Network")) > 0 || len(header.Peek("Access-Control-Request-Local-Network")) > 0
}

var errPrivate = Refuse(fasthttp.StatusForbidden, "Pages of the internet may not reach this network.")

var errCrooked = &Problem{
	Kind: "crooked-path", Title: "The path cannot be used", Status: fasthttp.StatusBadRequest,
	Detail: "The path has a dot segment, a backslash, or an encoded slash, backslash or dot, which a proxy may read in another way; write it without.",
}

// isCrooked reports whether a proxy and this server could take a path for different ones.
func isCrooked(path []byte) bool {
	if bytes.IndexByte(path, '\\') >= 0 {
		return true
	}
	for rest := path; ; {
		at := bytes.IndexByte(rest, '%')
		if at < 0 || len(rest) < at+3 {
			break
		}
		switch strings.ToLower(string(rest[at+1 : at+3])) {
		case "2f", "5c", "2e":
			return true
		}
		rest = rest[at+1:]
	}
	if !bytes.Contains(path, []byte("/.")) && !bytes.HasPrefix(path, []byte(".")) {
		return false
	}
	for segment := range bytes.SplitSeq(path, []byte("/")) {
		if string(segment) == "." || string(segment) == ".." {
			return true
		}
	}
	return false
}
