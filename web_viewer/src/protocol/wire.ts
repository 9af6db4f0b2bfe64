/** One websocket message to or from bytes. */
import { decode, encode } from "@msgpack/msgpack";
import type { ClientMessage, ServerMessage } from "./messages.gen";

export function encodeMessage(message: ClientMessage): Uint8Array<ArrayBuffer> {
  // Without useBigInt64: with it, whole numbers above 2^32 (operation ids) would leave as floats.
  return encode(message, { ignoreUndefined: true }) as Uint8Array<ArrayBuffer>;
}

export function decodeMessage(data: ArrayBuffer): ServerMessage {
  return decode(data) as ServerMessage;
}

/** A websocket message: one, or what was waiting for us as an array. */
export function decodeMessages(data: ArrayBuffer): ServerMessage[] {
  const decoded = decode(data);
  return Array.isArray(decoded) ? (decoded as ServerMessage[]) : [decoded as ServerMessage];
}
