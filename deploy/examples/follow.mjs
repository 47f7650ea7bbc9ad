// Follows a run until it ends: a line for each change. Usage: node follow.mjs STATUS_URL
const [url] = process.argv.slice(2);

let seen = "", run;
do {
  const headers = { Accept: "text/event-stream", ...(seen && { "Last-Event-ID": seen }) };
  const answer = await fetch(url, { headers }).catch(() => null);
  if (answer && answer.status >= 400 && answer.status < 500) {
    console.error(await answer.text());
    process.exit(2);
  }
  try {
    if (answer?.ok) await read(answer.body.pipeThrough(new TextDecoderStream()));
  } catch {
    // the connection broke: ask again, for what is newer
  }
  if (run?.Status !== "D") await new Promise((done) => setTimeout(done, 1000));
} while (run?.Status !== "D");
process.exit(run.Success ? 0 : 1);

async function read(texts) {
  let rest = "";
  for await (const text of texts) {
    const events = (rest + text).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      const data = [];
      for (const line of event.split("\n")) {
        if (line.startsWith("id: ")) seen = line.slice(4);
        if (line.startsWith("data: ")) data.push(line.slice(6));
      }
      if (!data.length) continue; // a comment
      run = JSON.parse(data.join("\n"));
      console.log(`${run.StatusDescription}, ${run.PercentComplete} %: ${run.Message}`);
    }
  }
}
