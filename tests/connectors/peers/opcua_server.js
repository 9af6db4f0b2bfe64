// An OPC UA server by node-opcua with security: an oven whose temperature is told by {set: value}; {stop: true} and {start: true}
// are a restart that forgets every session. The second argument is a folder for its certificates.
const path = require("path");
const say = (what) => process.stdout.write(`${typeof what === "string" ? what : JSON.stringify(what)}\n`);
console.log = console.warn = console.error; // the library talks on stdout
const opcua = require("node-opcua");

const port = Number(process.argv[2]);
const folder = process.argv[3];
let server;
let temperature;
let setpoint = 180;

const begin = async (value) => {
  const certificates = new opcua.OPCUACertificateManager({ rootFolder: path.join(folder, "pki"), automaticallyAcceptUnknownCertificate: true });
  await certificates.initialize();
  server = new opcua.OPCUAServer({
    port,
    hostname: "127.0.0.1",
    resourcePath: "/cell",
    serverCertificateManager: certificates,
    userCertificateManager: certificates,
    securityPolicies: [opcua.SecurityPolicy.None, opcua.SecurityPolicy.Basic256Sha256],
    securityModes: [opcua.MessageSecurityMode.None, opcua.MessageSecurityMode.SignAndEncrypt],
    allowAnonymous: true,
    userManager: { isValidUser: (name, password) => name === "line" && password === "secret" },
    disableDiscovery: true,
    buildInfo: { productName: "node-opcua cell" },
  });
  await server.initialize();
  const space = server.engine.addressSpace;
  const own = space.registerNamespace("urn:test:cell");
  const oven = own.addObject({ organizedBy: space.rootFolder.objects, browseName: "Oven", nodeId: "s=oven" });
  temperature = own.addVariable({ componentOf: oven, browseName: "Temperature", nodeId: "s=oven.temperature", dataType: "Double", minimumSamplingInterval: 10 });
  temperature.setValueFromSource({ dataType: "Double", value });
  const target = own.addVariable({
    componentOf: oven,
    browseName: "Setpoint",
    nodeId: "s=oven.setpoint",
    dataType: "Double",
    accessLevel: "CurrentRead | CurrentWrite",
    minimumSamplingInterval: 10,
  });
  target.setValueFromSource({ dataType: "Double", value: setpoint });
  target.on("value_changed", (data) => (setpoint = data.value.value));
  await server.start();
};

let order = begin(20.5).then(() => say("ready"));
require("readline")
  .createInterface({ input: process.stdin })
  .on("line", (line) => {
    const command = JSON.parse(line);
    order = order.then(async () => {
      if (command.stop) await server.shutdown(0);
      if (command.start) await begin(command.start);
      if (command.set !== undefined) temperature.setValueFromSource({ dataType: "Double", value: command.set }, opcua.StatusCodes[command.quality ?? "Good"]);
      say({ done: true, setpoint });
    });
  })
  .on("close", () => process.exit(0));
