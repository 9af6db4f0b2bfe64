// An OPC UA client by node-opcua: reads, subscribes and writes what the twin serves. First argument: unused; second: the address.
const say = (what) => process.stdout.write(`${typeof what === "string" ? what : JSON.stringify(what)}\n`);
console.log = console.warn = console.error; // the library talks on stdout
const opcua = require("node-opcua");

const address = process.argv[3];

const start = async () => {
  const client = opcua.OPCUAClient.create({ endpointMustExist: false, connectionStrategy: { maxRetry: 3, initialDelay: 100 } });
  await client.connect(address);
  const session = await client.createSession();
  say("ready");
  const namespaces = await session.readNamespaceArray();
  const found = [];
  const walk = async (id, depth) => {
    const answer = await session.browse({ nodeId: id, referenceTypeId: "HierarchicalReferences", includeSubtypes: true, resultMask: 63 });
    for (const reference of answer.references ?? []) {
      if (reference.nodeId.namespace === 0) continue;
      found.push({ id: reference.nodeId.toString(), name: reference.browseName.name, variable: reference.nodeClass === opcua.NodeClass.Variable });
      if (depth < 6) await walk(reference.nodeId, depth + 1);
    }
  };
  await walk("ObjectsFolder", 0);
  const subscription = await session.createSubscription2({ requestedPublishingInterval: 50, requestedLifetimeCount: 1000, requestedMaxKeepAliveCount: 10, publishingEnabled: true });
  require("readline")
    .createInterface({ input: process.stdin })
    .on("line", async (line) => {
      const command = JSON.parse(line);
      if (command.browse) say({ namespaces, found });
      if (command.read) {
        const data = await session.read({ nodeId: command.read, attributeId: opcua.AttributeIds.Value });
        say({ value: data.value.value, status: data.statusCode.value, source: data.sourceTimestamp });
      }
      if (command.write) {
        const status = await session.write({ nodeId: command.write, attributeId: opcua.AttributeIds.Value, value: { value: { dataType: command.type, value: command.value } } });
        say({ status: status.value });
      }
      if (command.watch) {
        const item = await subscription.monitor({ nodeId: command.watch, attributeId: opcua.AttributeIds.Value }, { samplingInterval: 20, queueSize: 100, discardOldest: true }, opcua.TimestampsToReturn.Both);
        item.on("changed", (data) => say({ watched: data.value.value, status: data.statusCode.value }));
      }
    })
    .on("close", () => process.exit(0));
};
start().catch((error) => {
  console.error(error);
  process.exit(1);
});
