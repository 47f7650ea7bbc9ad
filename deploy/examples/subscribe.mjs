// Prints the completion event of every run, from the first that is still kept, and continues where
// it stopped when it is started again. Usage: node subscribe.mjs [nats://127.0.0.1:4222] [count]
import { connect, AckPolicy } from "nats";

const [url = "nats://127.0.0.1:4222", count = "0"] = process.argv.slice(2);
const nc = await connect({ servers: url });
const manager = await nc.jetstreamManager();
await manager.consumers.add("EVENTS", {
  durable_name: "node-example",
  filter_subject: "run.completed.*",
  ack_policy: AckPolicy.Explicit,
});
const consumer = await nc.jetstream().consumers.get("EVENTS", "node-example");

let left = Number(count) || Infinity;
const messages = await consumer.consume();
for await (const event of messages) {
  const run = event.json();
  // ce-source and ce-id together name an event: an integration that has seen them ignores the double.
  console.log(JSON.stringify({
    id: event.headers.get("ce-id"),
    source: event.headers.get("ce-source"),
    type: event.headers.get("ce-type"),
    task: run.TaskName,
    run: run.ImportId,
    outcome: run.StatusDescription,
    rows: run.RowsProcessed,
  }));
  await event.ackAck();
  if (--left === 0) break;
}
await nc.drain();
