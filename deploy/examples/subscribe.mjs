// Handles the completion event of each run, one at a time, from the first that is still kept, and
// continues where it stopped. It waits for a server that is away, as long as that takes.
//
//   node subscribe.mjs [nats://127.0.0.1:4222] [--name NAME] [--task ID] [--since TIME] [--anew] [--failed]
//
// NATS_USER and NATS_PASSWORD are its login, if the server asks for one.
import { connect, AckPolicy, DeliverPolicy } from "nats";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";

const { values: options, positionals: [servers = "nats://127.0.0.1:4222"] } = parseArgs({
  allowPositionals: true,
  options: {
    name: { type: "string", default: "node-example" }, // of the consumer: that of the login, if there is one
    task: { type: "string", default: "*" }, // the id of one task
    since: { type: "string" }, // the first time, for a consumer that is new
    anew: { type: "boolean", default: false }, // begin again, instead of where it stopped
    failed: { type: "boolean", default: false }, // pass over the runs that succeeded
    work: { type: "string", default: "0" }, // how many seconds the work takes, to try it
    "ack-wait": { type: "string", default: "30" }, // seconds without a sign of life until an event comes again
  },
});
const ackWait = Number(options["ack-wait"]) * 1000;

const nc = await connect({
  servers, user: process.env.NATS_USER, pass: process.env.NATS_PASSWORD, waitOnFirstConnect: true, maxReconnectAttempts: -1,
});
const handled = new Set();
while (!nc.isClosed()) {
  try {
    await subscribe();
  } catch (error) {
    console.error(`asking again: ${error.message}`);
    await pause(1000);
  }
}
process.exit(1); // the server refuses the login

async function subscribe() {
  // A durable consumer: what happens while this program is down is delivered when it is back.
  const manager = await nc.jetstreamManager();
  if (options.anew) await manager.consumers.delete("EVENTS", options.name).catch(ifThere);
  options.anew = false;
  await manager.consumers.add("EVENTS", {
    durable_name: options.name,
    filter_subject: `run.completed.${options.task}`,
    ack_policy: AckPolicy.Explicit,
    ack_wait: ackWait * 1e6,
    ...(options.since && { deliver_policy: DeliverPolicy.StartTime, opt_start_time: new Date(options.since).toISOString() }),
  });
  const consumer = await nc.jetstream().consumers.get("EVENTS", options.name);
  for (;;) {
    const event = await consumer.next({ expires: 10_000 }); // one at a time: others do not grow old meanwhile
    if (event) await handle(event);
  }
}

function ifThere(error) {
  if (error.api_error?.err_code !== 10014) throw error; // no such consumer
}

async function handle(event) {
  // ce-source and ce-id together name an event. A database keeps them in a unique column, in the
  // transaction of the work: then a double has no effect even if this program is killed.
  const name = `${event.headers.get("ce-source")} ${event.headers.get("ce-id")}`;
  const busy = setInterval(() => event.working(), ackWait / 3);
  try {
    if (!handled.has(name)) await work(event);
    handled.add(name);
  } catch (error) {
    console.error(`the work failed, and is done again in a minute: ${error.message}`);
    return event.nak(60_000);
  } finally {
    clearInterval(busy);
  }
  await event.ackAck(); // if that is lost, the event comes again, and is known
}

async function work(event) {
  const type = event.headers.get("ce-type");
  if (options.failed && type === "runhook.run.success") return;
  await pause(Number(options.work) * 1000);
  const run = event.json();
  console.log(JSON.stringify({
    id: event.headers.get("ce-id"),
    source: event.headers.get("ce-source"),
    type,
    task: run.TaskName,
    run: run.ImportId,
    outcome: run.StatusDescription,
    rows: run.RowsProcessed,
  }));
}
