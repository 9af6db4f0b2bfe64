/** Which picture stands for a prim in lists. */
import type { PrimDoc } from "../protocol/messages.gen";
import type { IconName } from "./icons";

const NODE_ICONS: [api: string, icon: IconName][] = [
  ["TwinStationAPI", "station"],
  ["TwinConveyorAPI", "belt"],
  ["TwinBufferAPI", "buffer"],
  ["TwinSourceAPI", "source"],
  ["TwinSinkAPI", "sink"],
  ["TwinRouterAPI", "router"],
  ["TwinFleetAPI", "fleet"],
  ["TwinCrewAPI", "user"],
  ["TwinSensorAPI", "crosshair"],
];

export function primIcon(doc: PrimDoc): IconName {
  for (const [api, icon] of NODE_ICONS) if (doc.schemas?.includes(api)) return icon;
  const type = doc.type ?? "";
  if (doc.light) return "light";
  if (doc.geometry) return "cube";
  if (type === "Material" || type === "Shader") return "material";
  if (type === "Camera") return "camera";
  return "group";
}
