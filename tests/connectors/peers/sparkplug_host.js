// Hears an edge node with sparkplug-payload, whose author is not ours. Each message becomes a line of JSON.
// Arguments: a port that it does not use, the broker's port, and as a primary host its name. {"type", "metrics"} commands the
// node "twin".
const mqtt = require("mqtt");
const sparkplug = require("sparkplug-payload").get("spBv1.0");
const readline = require("node:readline");

const state = process.argv[4] && `spBv1.0/STATE/${process.argv[4]}`;
const told = (online) => JSON.stringify({ online, timestamp: 1 });
const will = state && { topic: state, payload: told(false), qos: 1, retain: true };
const client = mqtt.connect(`mqtt://127.0.0.1:${process.argv[3]}`, { will, reconnectPeriod: 100 });
const plain = (value) => (value !== null && typeof value === "object" && "low" in value ? Number(value) : value);
let ready = false;
client.on("error", () => {}); // the broker is away: it is tried again
client.on("connect", () =>
  client.subscribe("spBv1.0/plant/#", () => {
    if (state) client.publish(state, told(true), { qos: 1, retain: true });
    if (!ready) console.log("ready");
    ready = true;
  }),
);
client.on("message", (topic, data) => {
  const kind = topic.split("/")[2];
  if (kind === "NCMD") return;
  const payload = sparkplug.decodePayload(data);
  const metrics = (payload.metrics ?? []).map((m) => ({
    name: m.name,
    alias: m.alias === undefined ? undefined : Number(m.alias),
    type: m.type,
    value: plain(m.value),
    quality: plain(m.properties?.Quality?.value),
    timestamp: m.timestamp === undefined ? undefined : Number(m.timestamp),
    historical: m.isHistorical ?? false,
  }));
  console.log(JSON.stringify({ kind, seq: payload.seq === undefined ? null : Number(payload.seq), metrics }));
});
readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const { type, metrics } = JSON.parse(line);
  client.publish(`spBv1.0/plant/${type}/twin`, Buffer.from(sparkplug.encodePayload({ timestamp: Date.now(), metrics })));
});
process.stdin.on("end", () => process.exit(0));
