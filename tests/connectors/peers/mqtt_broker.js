// An MQTT broker by aedes, which keeps sessions in memory. Told {drop: true} it cuts every client off, {publish: topic, ...} it sends.
const net = require("net");
const { Aedes } = require("aedes");

const sockets = new Set();
const start = async () => {
  const broker = typeof Aedes.createBroker === "function" ? await Aedes.createBroker() : new Aedes();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    broker.handle(socket);
  });
  broker.on("publish", (packet, client) => {
    if (client) console.log(JSON.stringify({ topic: packet.topic, payload: packet.payload.toString(), qos: packet.qos }));
  });
  require("readline")
    .createInterface({ input: process.stdin })
    .on("line", (line) => {
      const command = JSON.parse(line);
      if (command.drop) for (const socket of sockets) socket.destroy();
      if (command.publish) {
        const { publish: topic, payload, qos = 1, retain = false } = command;
        broker.publish({ cmd: "publish", topic, payload: Buffer.from(payload), qos, retain, dup: false }, () => {});
      }
    })
    .on("close", () => process.exit(0));
  server.listen(Number(process.argv[2]), "127.0.0.1", () => console.log("ready"));
};
start();
