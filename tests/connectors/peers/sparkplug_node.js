// A Sparkplug edge node by sparkplug-client: node "Line A" of group "Plant 1" with the device "Oven".
// Arguments: a port that it does not use, the broker's port. Commands are lines of JSON on standard input.
const sparkplug = require("sparkplug-client");
const readline = require("node:readline");

const births = { node: 0, device: 0 };
const client = sparkplug.newClient({
  serverUrl: `mqtt://127.0.0.1:${process.argv[3]}`,
  username: "",
  password: "",
  groupId: "Plant 1",
  edgeNode: "Line A",
  clientId: "line-a",
  version: "spBv1.0",
  keepalive: 5,
  mqttOptions: { reconnectPeriod: 300 },
});
const state = { temperature: 180.5 };

function birth(options) {
  births.node += 1;
  client.publishNodeBirth(
    {
      timestamp: Date.now(),
      metrics: [
        { name: "Node Control/Rebirth", type: "Boolean", value: false },
        { name: "Births", type: "Int32", value: births.node, alias: 1 },
        { name: "Limit", type: "UInt32", value: 4000000000, alias: 2 },
      ],
    },
    options,
  );
  client.publishDeviceBirth(
    "Oven",
    {
      timestamp: Date.now(),
      metrics: [
        { name: "Temperature", type: "Double", value: state.temperature, alias: 10 },
        { name: "Offset", type: "Int16", value: -300, alias: 11 },
        { name: "Recipe", type: "String", value: "rye", alias: 12 },
        { name: "Door", type: "Boolean", value: true, alias: 13 },
        { name: "Total", type: "Int64", value: -5, alias: 14 },
        { name: "Ratio", type: "Float", value: 0.25, alias: 15 },
      ],
    },
    options,
  );
}

const commands = {
  data: ({ metrics, options }) => client.publishDeviceData("Oven", { timestamp: Date.now(), metrics }, options),
  skip: () => client.incrementSeqNum(),
  death: () => client.publishDeviceDeath("Oven", { timestamp: Date.now() }),
  birth: ({ options }) => birth(options),
  cut: () => client.client.stream.destroy(), // no goodbye: the broker publishes the will
  late_death: ({ bdSeq }) => {
    const before = client.bdSeq;
    client.bdSeq = bdSeq;
    client.publishNDeath(client.client);
    client.bdSeq = before;
  },
};
client.on("birth", () => birth());
client.on("ncmd", (payload) => {
  for (const metric of payload.metrics) if (metric.name === "Node Control/Rebirth" && metric.value) birth();
});
client.on("dcmd", (device, payload) => {
  for (const metric of payload.metrics) {
    if (metric.name === "Temperature") state.temperature = metric.value;
    client.publishDeviceData(device, { timestamp: Date.now(), metrics: [{ ...metric, timestamp: undefined }] });
  }
});
client.client.once("connect", () => console.log("ready"));
readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const { command, ...rest } = JSON.parse(line);
  commands[command](rest);
});
process.stdin.on("end", () => process.exit(0));
