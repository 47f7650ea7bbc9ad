package deploy_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// flow is a workflow of Power Automate or Logic Apps, as far as the recipes of flows.md need it: the HTTP action by
// Microsoft's documentation, strictly, If, Terminate, and the expressions that are used there.
type flow struct {
	// name is that of the workflow's run, parameters and trigger what it was started with.
	name       string
	parameters map[string]any
	trigger    any
	client     *http.Client
	// pause waits for a time of the flow, which may be shorter in fact.
	pause func(time.Duration)
	// answered hears of each answer, before the action reads it. An error loses the answer on its way.
	answered func(*http.Request, *http.Response, []byte) error

	results map[string]*result
	// terminated is the message of Terminate, asked the requests that were sent.
	terminated string
	asked      []*http.Request
}

// result is what became of an action.
type result struct {
	Status string // Succeeded, Failed, TimedOut, Skipped
	Code   int
	Header http.Header
	Body   any
}

// action is one of a workflow's definition.
type action struct {
	Type   string
	Inputs struct {
		Method, URI    string
		Headers        map[string]string
		Body           any
		Authentication map[string]any
		RetryPolicy    *retryPolicy
		RunStatus      string
		RunError       struct{ Code, Message string }
	}
	OperationOptions string
	Limit            struct{ Timeout string }
	RunAfter         map[string][]string
	Expression       struct{ And []map[string][]any }
	Actions          map[string]action
	Else             struct{ Actions map[string]action }
}

type retryPolicy struct {
	Type                                       string
	Count                                      int
	Interval, MinimumInterval, MaximumInterval string
}

// run runs actions, each when those that it runs after have ended.
func (f *flow) run(actions map[string]action) error {
	if f.results == nil {
		f.results = make(map[string]*result)
	}
	for left := slices.Sorted(maps.Keys(actions)); len(left) > 0; {
		next := slices.IndexFunc(left, func(name string) bool {
			for before := range actions[name].RunAfter {
				if f.results[before] == nil {
					return false
				}
			}
			return true
		})
		if next < 0 {
			return fmt.Errorf("%v run after actions that are not there", left)
		}
		name := left[next]
		left = slices.Delete(left, next, next+1)
		f.results[name] = &result{Status: "Skipped"}
		skipped := false
		for before, statuses := range actions[name].RunAfter {
			skipped = skipped || !slices.ContainsFunc(statuses, func(s string) bool { return s == f.results[before].Status })
		}
		if skipped || f.terminated != "" {
			continue
		}
		if err := f.act(name, actions[name]); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func (f *flow) act(name string, a action) (err error) {
	switch a.Type {
	case "Http":
		f.results[name], err = f.http(a)
		return err
	case "If":
		holds := true
		for _, condition := range a.Expression.And {
			for operator, of := range condition {
				left, err := f.value(of[0])
				if err != nil {
					return err
				}
				right, err := f.value(of[1])
				if err != nil {
					return err
				}
				switch operator {
				case "greater":
					number, ok := left.(float64)
					holds = holds && ok && number > right.(float64)
				case "equals":
					holds = holds && left == right
				default:
					return fmt.Errorf("unknown operator %s", operator)
				}
			}
		}
		f.results[name] = &result{Status: "Succeeded"}
		if holds {
			return f.run(a.Actions)
		}
		return f.run(a.Else.Actions)
	case "Terminate":
		f.terminated, err = f.text(a.Inputs.RunError.Message)
		f.results[name] = &result{Status: "Succeeded"}
		return err
	}
	return fmt.Errorf("unknown type %s", a.Type)
}

// dropped reports whether Logic Apps drops a header of a request without a word.
func dropped(name string) bool {
	name = strings.ToLower(name)
	return strings.HasPrefix(name, "accept-") ||
		strings.HasPrefix(name, "content-") && !slices.Contains([]string{"content-disposition", "content-encoding", "content-type"}, name) ||
		slices.Contains([]string{"allow", "cookie", "expires", "host", "last-modified", "origin", "set-cookie", "transfer-encoding"}, name)
}

// http is the HTTP action.
func (f *flow) http(a action) (*result, error) {
	uri, err := f.text(a.Inputs.URI)
	if err != nil {
		return nil, err
	}
	var body []byte
	if a.Inputs.Body != nil {
		value, err := f.value(a.Inputs.Body)
		if err != nil {
			return nil, err
		}
		if body, err = json.Marshal(value); err != nil {
			return nil, err
		}
	}
	header := http.Header{}
	for name, value := range a.Inputs.Headers {
		text, err := f.text(value)
		if err != nil {
			return nil, err
		}
		if !dropped(name) {
			header.Set(name, text)
		}
	}
	if body != nil && header.Get("Content-Type") == "" {
		header.Set("Content-Type", "application/json")
	}
	credential, err := f.credential(a.Inputs.Authentication)
	if err != nil {
		return nil, err
	}
	header.Set("X-Ms-Workflow-Run-Id", f.name)
	limit, spent := 30*24*time.Hour, time.Duration(0)
	if a.Limit.Timeout != "" {
		if limit, err = duration(a.Limit.Timeout); err != nil {
			return nil, err
		}
	}
	wait := func(d time.Duration) bool {
		spent += d
		f.pause(d)
		return spent <= limit
	}
	answer := f.ask(a, a.Inputs.Method, uri, header, body, credential, wait)
	if a.OperationOptions == "DisableAsyncPattern" {
		return answer, nil
	}
	// The asynchronous pattern: of a 202 only Location and Retry-After are read, and Location is asked until the answer is
	// another one. A poll has no body and no header that was typed.
	for answer.Code == http.StatusAccepted {
		location := answer.Header.Get("Location")
		if location == "" {
			return &result{Status: "TimedOut"}, nil // as long as the action may take
		}
		after := 20 * time.Second
		if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil {
			after = time.Duration(seconds) * time.Second
		}
		if !wait(after) {
			return &result{Status: "TimedOut"}, nil
		}
		answer = f.ask(a, http.MethodGet, location, http.Header{}, nil, credential, wait)
	}
	return answer, nil
}

// credential is the Authorization of the property Authentication, which polls have too.
func (f *flow) credential(of map[string]any) (string, error) {
	value, err := f.value(map[string]any(of))
	if err != nil || of == nil {
		return "", err
	}
	fields := value.(map[string]any)
	switch fields["type"] {
	case "Basic":
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(fmt.Sprint(fields["username"], ":", fields["password"]))), nil
	case "Raw":
		return fmt.Sprint(fields["value"]), nil
	}
	return "", fmt.Errorf("unknown authentication %v", fields["type"])
}

// ask sends a request, and again after 408, 429, 5xx and a lost connection as the retry policy says.
func (f *flow) ask(a action, method, uri string, header http.Header, body []byte, credential string, wait func(time.Duration) bool) *result {
	policy := retryPolicy{Type: "exponential", Count: 4, Interval: "PT7.5S", MinimumInterval: "PT5S", MaximumInterval: "PT45S"}
	if a.Inputs.RetryPolicy != nil {
		policy = *a.Inputs.RetryPolicy
	}
	interval, err := duration(policy.Interval)
	least, err2 := duration(policy.MinimumInterval)
	most, err3 := duration(policy.MaximumInterval)
	if err != nil || err2 != nil || err3 != nil {
		return &result{Status: "Failed", Body: "BadRequest: the retry policy"}
	}
	parsed, err := url.Parse(uri)
	if err != nil || !parsed.IsAbs() || parsed.Hostname() == "" || parsed.Hostname() == "localhost" || strings.HasPrefix(parsed.Hostname(), "127.") {
		return &result{Status: "Failed", Body: "The URI must be a well formed absolute URI not referencing local host or UNC path."}
	}
	for try := 0; ; try++ {
		got := f.once(method, uri, header, body, credential)
		again := got.Code == 0 || got.Code == http.StatusRequestTimeout || got.Code == http.StatusTooManyRequests || got.Code >= 500
		if !again || policy.Type == "none" || try == policy.Count {
			return got
		}
		pause := min(max(interval<<try, least), most)
		if seconds, err := strconv.Atoi(got.Header.Get("Retry-After")); err == nil && got.Code == http.StatusTooManyRequests {
			pause = time.Duration(seconds) * time.Second
		}
		if !wait(pause) {
			return &result{Status: "TimedOut"}
		}
	}
}

// once sends a request once. Its client follows no redirect, and waits 120 s for an answer.
func (f *flow) once(method, uri string, header http.Header, body []byte, credential string) *result {
	lost := func(err error) *result { return &result{Status: "Failed", Body: err.Error()} }
	request, err := http.NewRequest(method, uri, bytes.NewReader(body))
	if err != nil {
		return lost(err)
	}
	request.Header = header.Clone()
	if credential != "" {
		request.Header.Set("Authorization", credential)
	}
	f.asked = append(f.asked, request)
	answer, err := f.client.Do(request)
	if err != nil {
		return lost(err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		return lost(err)
	}
	if f.answered != nil {
		if err := f.answered(request, answer, data); err != nil {
			return lost(err)
		}
	}
	got := &result{Status: "Failed", Code: answer.StatusCode, Header: answer.Header}
	if answer.StatusCode < 300 {
		got.Status = "Succeeded"
	}
	switch kind := answer.Header.Get("Content-Type"); {
	case strings.Contains(kind, "json"):
		if err := json.Unmarshal(data, &got.Body); err != nil {
			return lost(err)
		}
	case strings.HasPrefix(kind, "text/"):
		got.Body = string(data)
	default:
		got.Body = map[string]any{"$content-type": kind, "$content": base64.StdEncoding.EncodeToString(data)}
	}
	return got
}

// duration reads a time of ISO 8601 such as PT1H30M or P1D.
func duration(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	day, rest, _ := strings.Cut(strings.TrimPrefix(text, "P"), "T")
	total, err := time.ParseDuration("0" + strings.ToLower(rest))
	if rest == "" {
		total, err = 0, nil
	}
	if days, isDays := strings.CutSuffix(day, "D"); isDays {
		number, err := strconv.Atoi(days)
		return total + time.Duration(number)*24*time.Hour, err
	}
	return total, err
}

// value computes the expressions in a value of the definition.
func (f *flow) value(of any) (any, error) {
	switch of := of.(type) {
	case string:
		if strings.HasPrefix(of, "@") && !strings.HasPrefix(of, "@{") {
			return f.expression(of[1:])
		}
		return f.text(of)
	case map[string]any:
		computed := make(map[string]any, len(of))
		for name, member := range of {
			value, err := f.value(member)
			if err != nil {
				return nil, err
			}
			computed[name] = value
		}
		return computed, nil
	case []any:
		computed := make([]any, len(of))
		for i, member := range of {
			value, err := f.value(member)
			if err != nil {
				return nil, err
			}
			computed[i] = value
		}
		return computed, nil
	}
	return of, nil
}

// text computes a text with expressions in @{…}.
func (f *flow) text(of string) (string, error) {
	if strings.HasPrefix(of, "@") && !strings.HasPrefix(of, "@{") {
		value, err := f.expression(of[1:])
		if value == nil {
			value = ""
		}
		return fmt.Sprint(value), err
	}
	var whole strings.Builder
	for {
		before, rest, found := strings.Cut(of, "@{")
		whole.WriteString(before)
		if !found {
			return whole.String(), nil
		}
		inside, after, found := strings.Cut(rest, "}")
		if !found {
			return "", fmt.Errorf("%q: a } is missing", of)
		}
		value, err := f.expression(inside)
		if err != nil {
			return "", err
		}
		if value != nil {
			fmt.Fprint(&whole, value)
		}
		of = after
	}
}

// expression computes a whole expression of the workflow definition language.
func (f *flow) expression(text string) (any, error) {
	value, rest, err := f.term(strings.TrimSpace(text))
	if err == nil && rest != "" {
		err = fmt.Errorf("behind the expression stands %q", rest)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", text, err)
	}
	return value, nil
}

// term computes a literal or a call and the members that are taken of it, and returns the text behind.
func (f *flow) term(text string) (value any, rest string, err error) {
	if literal, is := strings.CutPrefix(text, "'"); is {
		value, rest, found := strings.Cut(literal, "'")
		if !found {
			return nil, "", fmt.Errorf("a ' is missing")
		}
		return value, rest, nil
	}
	end := strings.IndexFunc(text, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '.' || r == '-')
	})
	if end < 0 {
		end = len(text)
	}
	name, rest := text[:end], text[end:]
	if number, err := strconv.ParseFloat(name, 64); err == nil {
		return number, rest, nil
	}
	inside, called := strings.CutPrefix(rest, "(")
	if !called {
		return nil, "", fmt.Errorf("%q is no call", name)
	}
	var arguments []any
	for rest = strings.TrimSpace(inside); !strings.HasPrefix(rest, ")"); {
		var argument any
		if argument, rest, err = f.term(rest); err != nil {
			return nil, "", err
		}
		arguments = append(arguments, argument)
		rest = strings.TrimSpace(rest)
		if more, is := strings.CutPrefix(rest, ","); is {
			rest = strings.TrimSpace(more)
		} else if !strings.HasPrefix(rest, ")") {
			return nil, "", fmt.Errorf("%s( has no end", name)
		}
	}
	rest = rest[1:]
	if value, err = f.call(name, arguments); err != nil {
		return nil, "", err
	}
	for {
		safe := strings.HasPrefix(rest, "?[")
		member, is := strings.CutPrefix(strings.TrimPrefix(rest, "?"), "['")
		if !is {
			return value, rest, nil
		}
		var key string
		key, rest, _ = strings.Cut(member, "']")
		members, isObject := value.(map[string]any)
		if value = members[key]; value == nil && !safe {
			return nil, "", fmt.Errorf("there is no %s", key)
		} else if !isObject {
			value = nil
		}
	}
}

func (f *flow) call(name string, arguments []any) (any, error) {
	of := func() (*result, error) {
		if got := f.results[fmt.Sprint(arguments[0])]; got != nil {
			return got, nil
		}
		return nil, fmt.Errorf("there is no action %v", arguments[0])
	}
	switch name {
	case "workflow":
		return map[string]any{"run": map[string]any{"name": f.name}}, nil
	case "parameters":
		return f.parameters[fmt.Sprint(arguments[0])], nil
	case "triggerBody":
		return f.trigger, nil
	case "body":
		got, err := of()
		if err != nil {
			return nil, err
		}
		return got.Body, nil
	case "outputs":
		got, err := of()
		if err != nil {
			return nil, err
		}
		return map[string]any{"statusCode": float64(got.Code), "body": got.Body}, nil
	case "coalesce":
		for _, argument := range arguments {
			if argument != nil {
				return argument, nil
			}
		}
		return nil, nil
	case "first":
		list, _ := arguments[0].([]any)
		if len(list) == 0 {
			return nil, nil
		}
		return list[0], nil
	case "base64":
		return base64.StdEncoding.EncodeToString([]byte(fmt.Sprint(arguments[0]))), nil
	case "utcNow":
		return time.Now().UTC().Format("2006-01-02T15:04:05.0000000Z"), nil
	case "addHours":
		at, err := time.Parse(time.RFC3339, fmt.Sprint(arguments[0]))
		return at.Add(time.Duration(arguments[1].(float64) * float64(time.Hour))).Format("2006-01-02T15:04:05.0000000Z"), err
	}
	return nil, fmt.Errorf("unknown function %s", name)
}
