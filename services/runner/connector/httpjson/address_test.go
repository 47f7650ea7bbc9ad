package httpjson

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"runhook/services/runner/connection"
	"runhook/shared/task"
)

// Each page is asked for with the text that the task has, in which one parameter changes.
func TestPagesKeepTheQuery(t *testing.T) {
	for name, c := range map[string]struct {
		path  string
		next  task.NextPage
		asked []string // 3 rows a page, of 7
	}{
		"a semicolon, by offset":   {"/p?q=a;b>5;c=d&limit=3", task.NextPage{Offset: "skip"}, []string{"/p?q=a;b>5;c=d&limit=3", "/p?q=a;b>5;c=d&limit=3&skip=3"}},
		"a percent sign, by page":  {"/p?like=%&page=1&z=50%", task.NextPage{Page: "page"}, []string{"/p?like=%&page=1&z=50%", "/p?like=%&page=2&z=50%"}},
		"spaces, by cursor":        {"/p?$filter=a%20eq%20'b'&$orderby=n+desc", task.NextPage{Cursor: "at", From: "next"}, []string{"/p?$filter=a%20eq%20'b'&$orderby=n+desc", "/p?$filter=a%20eq%20'b'&$orderby=n+desc&at=3%20%26%2B1"}},
		"flags and order":          {"/p?z&full&a=&b==&B=1&b=2", task.NextPage{Offset: "$skip"}, []string{"/p?z&full&a=&b==&B=1&b=2", "/p?z&full&a=&b==&B=1&b=2&$skip=3"}},
		"empty parts":              {"/p?&a=1&&", task.NextPage{Page: "p"}, []string{"/p?&a=1&&", "/p?&a=1&&&p=1"}},
		"a name in another form":   {"/p?page%5Bno%5D=4&x=[1]", task.NextPage{Page: "page[no]"}, []string{"/p?page%5Bno%5D=4&x=[1]", "/p?page%5Bno%5D=5&x=[1]"}},
		"a name twice":             {"/p?p=7&x=;&p=7", task.NextPage{Page: "p"}, []string{"/p?p=7&x=;&p=7", "/p?p=8&x=;"}},
		"letters and spaces":       {"/Zürich x?q=Å b\"<|>", task.NextPage{Page: "p"}, []string{"/Z%C3%BCrich%20x?q=%C3%85%20b\"<|>", "/Z%C3%BCrich%20x?q=%C3%85%20b\"<|>&p=1"}},
		"escapes beside spaces":    {"/a%2Fb c%7e|d", task.NextPage{Page: "p"}, []string{"/a%2Fb%20c%7e%7Cd", "/a%2Fb%20c%7e%7Cd?p=1"}},
		"a name that needs escape": {"/p", task.NextPage{Page: "p&q #%"}, []string{"/p", "/p?p%26q%20%23%25=1"}},
	} {
		t.Run(name, func(t *testing.T) {
			pages := 0
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if pages == 1 && c.next.Page != "" && strings.HasSuffix(r.RequestURI, "=1") {
					pages = 0 // the first one again
				}
				pages++
				rows := make([]string, []int{3, 3, 1, 0}[pages-1])
				for i := range rows {
					rows[i] = fmt.Sprintf(`{"id":%d}`, (pages-1)*3+i+1)
				}
				next := ""
				if pages < 3 {
					next = strconv.Itoa(pages*3) + " &+1"
				}
				fmt.Fprintf(w, `{"next":%q,"rows":[%s]}`, next, strings.Join(rows, ","))
			})
			rows, err := read(t, s.URL, &task.HTTPSource{Path: c.path, Items: "rows", Next: &c.next}, nil)
			if err != nil || strings.Join(rows, "") != "[1][2][3][4][5][6][7]" {
				t.Errorf("got %v, %v", rows, err)
			}
			if asked := s.requests(); fmt.Sprint(asked[:min(2, len(asked))]) != fmt.Sprint(c.asked) {
				t.Errorf("asked for %q, want %q", asked, c.asked)
			}
		})
	}
}

// Links and redirects lead where their text says, from where the page came from.
func TestAddressesOfTheServiceKeepTheirText(t *testing.T) {
	for name, c := range map[string]struct {
		link, want string
	}{
		"semicolons":          {"/p?q=a;b=%;c", "/p?q=a;b=%;c"},
		"spaces and letters":  {"/Zü rich?since=2026-01-01 00:00:00&to=Köln+1", "/Z%C3%BC%20rich?since=2026-01-01%2000:00:00&to=K%C3%B6ln+1"},
		"a whole address":     {"SERVER/ä b?c=ö d#e f", "/%C3%A4%20b?c=%C3%B6%20d"},
		"a query alone":       {"?a b", "/from/?a%20b"},
		"a neighbor":          {"b%20c d;e", "/from/b%20c%20d;e"},
		"a percent sign":      {"/50%/%zz%41?100%", "/50%25/%25zz%41?100%"},
		"quotes and brackets": {`/a"b'[1]?x="<y>"&z=[1]|{2}`, `/a%22b'[1]?x="<y>"&z=[1]|{2}`},
		"tabs":                {"/a?c\td", "/a?c%09d"},
	} {
		t.Run(name, func(t *testing.T) {
			var s *service
			for _, redirects := range []bool{false, true} {
				s = serve(t, func(w http.ResponseWriter, r *http.Request) {
					link := strings.Replace(c.link, "SERVER", s.URL, 1)
					switch r.RequestURI {
					case "/from":
						http.Redirect(w, r, "/from/", http.StatusMovedPermanently)
					case "/from/":
						if redirects {
							w.Header().Set("Location", link)
							w.WriteHeader(http.StatusTemporaryRedirect)
							return
						}
						text, _ := json.Marshal(link)
						fmt.Fprintf(w, `{"rows":[{"id":1}],"next":%s}`, text)
					default:
						_, _ = io.WriteString(w, `{"rows":[{"id":2}]}`)
					}
				})
				rows, err := read(t, s.URL, &task.HTTPSource{Path: "/from", Items: "rows", Next: &task.NextPage{Link: "next"}}, nil)
				if err != nil || strings.Join(rows, "") != map[bool]string{false: "[1][2]", true: "[2]"}[redirects] {
					t.Errorf("redirects %v: got %v, %v", redirects, rows, err)
				}
				if asked := s.requests(); asked[len(asked)-1] != c.want {
					t.Errorf("redirects %v: asked for %q, want %s", redirects, asked, c.want)
				}
			}
		})
	}
}

func TestRowsGoToTheWrittenPath(t *testing.T) {
	for path, want := range map[string]string{
		"/in?q=a;b&k=50%&flag":       "/in?q=a;b&k=50%&flag",
		"/in?":                       "/in?",
		"odata/$batch?x=%20+'y'&&":   "/odata/$batch?x=%20+'y'&&",
		"/a%2Fb/Zürich c|?d e=\"f\"": "/a%2Fb/Z%C3%BCrich%20c%7C?d%20e=\"f\"",
	} {
		s := receive(t, func(n int, w http.ResponseWriter, _ string) {
			if n == 0 {
				w.Header().Set("Location", "/v1/moved?ü;a b=%")
				w.WriteHeader(http.StatusPermanentRedirect)
			}
		})
		d := s.open(t, task.HTTPDestination{Path: path})
		if err := d.Write(t.Context(), batch(1, "Ann"), func(int64) error { return nil }); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		var asked []string
		requests, _ := s.sent()
		for _, r := range requests {
			asked = append(asked, r.RequestURI)
		}
		if !slices.Equal(asked, []string{"/v1" + want, "/v1/moved?%C3%BC;a%20b=%"}) {
			t.Errorf("%s: asked for %q", path, asked)
		}
	}
}

// Credentials go to addresses below the connection's url alone: its scheme, host, port and folder.
func TestAddressesOfAConnection(t *testing.T) {
	for base, addresses := range map[string]map[string]bool{
		"https://api.example.org/v1": {
			"https://api.example.org/v1": true, "https://api.example.org/v1/x?y": true, "https://API.example.org:443/v1/x": true, "https://api.example.org/v1/a/../x": true,
			"https://api.example.org/v1x": false, "https://api.example.org/": false, "https://api.example.org/v1/../x": false, "https://api.example.org:444/v1/x": false,
			"http://api.example.org/v1/x": false, "http://api.example.org:443/v1/x": false, "https://example.org/v1/x": false, "https://api.example.org.evil.example/v1/x": false,
			"https://user@api.example.org/v1/x": false, "https://user:secret@api.example.org/v1/x": false,
		},
		"http://api.example.org": {"http://api.example.org:80/x": true, "http://api.example.org": true, "https://api.example.org:80/x": false},
	} {
		to, err := url.Parse(base)
		if err != nil {
			t.Fatal(err)
		}
		c := &client{to: connection.HTTP{URL: to}}
		for address, want := range addresses {
			u, err := url.Parse(address)
			if err != nil {
				t.Fatal(err)
			}
			if c.holds(u) != want {
				t.Errorf("%s is below %s: %v", address, base, !want)
			}
		}
	}
}
