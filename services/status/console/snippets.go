package console

import "strings"

// snippet is a piece of text to paste: a program that starts a run and waits for its end.
type snippet struct {
	// ID names it in the page.
	ID, Language, Text string
}

// snippets are those for a webhook and a body. The body has neither a line nor a quote of a shell in it; it is JSON,
// which JavaScript and Python read too.
func snippets(polling, body string) []snippet {
	fill := strings.NewReplacer("URL", polling, "BODY", body).Replace
	return []snippet{
		{"curl", "curl", fill(`curl -i -X POST "URL" \
  -H "Content-Type: application/json" \
  -d 'BODY'

# 202: ask the address in Location until the answer is 200`)},
		{"ps", "PowerShell", fill(`$body = 'BODY'
$start = Invoke-WebRequest -UseBasicParsing -Method Post -ContentType 'application/json' -Body $body ` + "`" + `
  -Uri 'URL'
do {
  Start-Sleep -Seconds ([int]"$($start.Headers['Retry-After'])")
  $poll = Invoke-WebRequest -UseBasicParsing -Uri "$($start.Headers['Location'])"
} while ($poll.StatusCode -eq 202)
$poll.Content | ConvertFrom-Json`)},
		{"cs", "C#", fill(`using System.Text;

var http = new HttpClient();
var body = new StringContent("""BODY""", Encoding.UTF8, "application/json");
var answer = await http.PostAsync("URL", body);
var status = answer.Headers.Location;
while (answer.StatusCode == System.Net.HttpStatusCode.Accepted)
{
    await Task.Delay(answer.Headers.RetryAfter?.Delta ?? TimeSpan.FromSeconds(30));
    answer = await http.GetAsync(status);
}
Console.WriteLine(await answer.Content.ReadAsStringAsync());`)},
		{"js", "JavaScript", fill(`let answer = await fetch("URL", {
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(BODY),
});
const status = answer.headers.get("Location");
while (answer.status === 202) {
  await new Promise((r) => setTimeout(r, 1000 * answer.headers.get("Retry-After")));
  answer = await fetch(status);
}
console.log(await answer.json());`)},
		{"py", "Python", fill(`import json, time, urllib.request as web

body = json.dumps(BODY).encode()
ask = web.Request("URL", body, {"Content-Type": "application/json"})
with web.urlopen(ask) as answer:
    where, wait = answer.headers["Location"], int(answer.headers["Retry-After"])
while True:
    time.sleep(wait)
    with web.urlopen(where) as answer:
        if answer.status == 200:
            print(json.load(answer))
            break
        wait = int(answer.headers["Retry-After"])`)},
	}
}

// forColleague is what somebody needs who makes a flow with the webhook.
func (d taskData) ForColleague() string {
	var text strings.Builder
	text.WriteString(d.Name + "\n\nAction    HTTP\nMethod    POST\nURI       " + d.Polling + "\nHeaders   Content-Type: application/json\nBody      " + d.Body +
		"\nSettings  Asynchronous Pattern: On\n")
	for _, way := range d.Auth {
		text.WriteString("Send      " + strings.ReplaceAll(way, "`", "") + "\n")
	}
	for i, parameter := range d.Parameters {
		if i == 0 {
			text.WriteString("\n")
		}
		text.WriteString(strings.TrimSpace(parameter.Key+": "+parameter.Prompt+". "+parameter.Description) + "\n")
	}
	return strings.TrimSpace(text.String())
}
