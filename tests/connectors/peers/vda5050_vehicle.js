// A virtual vehicle by vda-5050-lib (VDA 5050 2.0): manufacturer "acme", serial "A7", at node n1.
// Arguments: a port that it does not use, the broker's port. The command {"command": "cut"} severs it without a goodbye.
const { AgvController, VirtualAgvAdapter } = require("vda-5050-lib");
const readline = require("node:readline");

const controller = new AgvController(
  { manufacturer: "acme", serialNumber: "A7" },
  {
    interfaceName: "uagv",
    transport: { brokerUrl: `mqtt://127.0.0.1:${process.argv[3]}`, heartbeat: 5 },
    vdaVersion: "2.0.0",
  },
  { agvAdapterType: VirtualAgvAdapter, publishStateInterval: 200, publishVisualizationInterval: 200 },
  {
    initialPosition: { mapId: "hall", x: 0, y: 0, theta: 0, lastNodeId: "n1" },
    vehicleSpeed: 4,
    timeLapse: 4,
    initialBatteryCharge: 80,
  },
);
const commands = { cut: () => process.exit(0) };
controller.start().then(() => console.log("ready"));
readline.createInterface({ input: process.stdin }).on("line", (line) => commands[JSON.parse(line).command]());
process.stdin.on("end", () => process.exit(0));
