// A Modbus TCP device by modbus-serial: one block of registers, units 1 and 2; unit 9 never answers.
const { ServerTCP } = require("modbus-serial");

const registers = Buffer.alloc(2 * 64);
registers.writeFloatBE(21.5, 0);
registers.writeDoubleBE(-1234.5678901234, 2 * 2);
registers.writeInt32BE(-70000, 2 * 6);
registers.writeFloatBE(98.25, 2 * 10);
registers.subarray(20, 24).swap32().swap16(); // low word first
registers.write("LINE-7", 2 * 12);
registers.writeUInt16BE(0b1000000000000001, 2 * 16);
registers.writeBigUInt64BE(18446744073709551615n, 2 * 20);
const coils = new Map([[3, true]]);
const never = () => new Promise(() => {});
const illegal = () => Promise.reject({ modbusErrorCode: 2, message: "illegal address" });

const get = (address, unit) => {
  if (unit === 9) return never();
  if (address >= 64) return illegal();
  return registers.readUInt16BE(2 * address);
};
const server = new ServerTCP(
  {
    getHoldingRegister: get,
    getInputRegister: get,
    getCoil: (address, unit) => (unit === 9 ? never() : coils.get(address) ?? false),
    getDiscreteInput: (address) => address % 2 === 1,
    setRegister: (address, value) => void registers.writeUInt16BE(value, 2 * address),
    setCoil: (address, value) => void coils.set(address, value),
  },
  { host: "127.0.0.1", port: Number(process.argv[2]), unitID: 255 },
);
server.on("initialized", () => console.log("ready"));
process.stdin.on("end", () => process.exit(0)).resume();
