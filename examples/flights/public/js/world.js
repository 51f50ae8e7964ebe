// What does not change while a page is open: airports, planes, who flies where, and how far it is.
import { api } from "./api.js";
import { svg } from "./dom.js";

export const world = { airports: new Map(), planes: new Map(), connections: new Map() };

export async function load() {
  await Promise.all(Object.entries(world).map(async ([name, map]) => {
    for await (const one of api[name].all({})) map.set(one.id, one);
  }));
}

// trip is a flight with everything that belongs to it.
export function trip(flight) {
  const connection = world.connections.get(flight.connection);
  if (!connection) return null;
  const [from, to] = [world.airports.get(connection.from), world.airports.get(connection.to)];
  return { flight, connection, from, to, plane: world.planes.get(connection.plane), km: distance(from, to) };
}

const rad = Math.PI / 180;

function distance(a, b) {
  const x = Math.sin((b.lat - a.lat) * rad / 2) ** 2
    + Math.cos(a.lat * rad) * Math.cos(b.lat * rad) * Math.sin((b.lon - a.lon) * rad / 2) ** 2;
  return 2 * 6371 * Math.asin(Math.sqrt(x));
}

export const far = (km) => km < 10 ? `${km.toFixed(1)} km` : `${Math.round(km).toLocaleString("en")} km`;

// lasts is about how long a plane takes.
export function lasts(km) {
  const minutes = km < 30 ? Math.max(2, Math.round(km)) : Math.round((30 + km / 13.5) / 5) * 5;
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")}`;
}

// arc is the shortest way over the globe: points on a map on which degrees are squares.
function arc(a, b) {
  const vector = ({ lat, lon }) => [Math.cos(lat * rad) * Math.cos(lon * rad), Math.cos(lat * rad) * Math.sin(lon * rad), Math.sin(lat * rad)];
  const [u, v] = [vector(a), vector(b)];
  const angle = Math.max(1e-9, distance(a, b) / 6371);
  return Array.from({ length: 41 }, (_, i) => {
    const [p, q] = [Math.sin((1 - i / 40) * angle), Math.sin(i / 40 * angle)].map((s) => s / Math.sin(angle));
    const [x, y, z] = [0, 1, 2].map((k) => p * u[k] + q * v[k]);
    return [Math.atan2(y, x) / rad, -Math.asin(Math.max(-1, Math.min(1, z))) / rad];
  });
}

// drawn is a line through points; it is lifted where it goes over the edge of the map.
const drawn = (points) => points.map(([x, y], i) =>
  `${i === 0 || Math.abs(x - points[i - 1][0]) > 180 ? "M" : "L"}${x.toFixed(4)} ${y.toFixed(4)}`).join("");

const whole = [-180, -74, 360, 126];

// frame is the part of the map around a way.
function frame(points) {
  const [xs, ys] = [points.map((p) => p[0]), points.map((p) => p[1])];
  const [left, right, top, bottom] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const width = Math.max((right - left) * 1.6, (bottom - top) * 3.4, .1);
  const height = width * whole[3] / whole[2];
  return [(left + right - width) / 2, (top + bottom - height) / 2, width, height];
}

// map draws all airports and connections; or one of them brightly, and what lies around it.
export function map(bright) {
  const way = bright && arc(bright.from, bright.to);
  const box = way ? frame(way) : whole;
  const unit = box[2] / 360;
  const lines = [];
  for (let lon = -180; lon <= 180; lon += 30) lines.push(`M${lon} -90V90`);
  for (let lat = -80; lat <= 80; lat += 20) lines.push(`M-180 ${lat}H180`);
  const dot = (a, kind, r) => svg("circle", { class: kind, cx: a.lon, cy: -a.lat, r: r * unit });
  const label = (a, other) => {
    const left = a.lon < other.lon;
    return svg("text", { x: a.lon + (left ? -7 : 7) * unit, y: -a.lat + 4 * unit, "font-size": 12 * unit, "text-anchor": left ? "end" : "start" }, a.code);
  };
  return svg("svg", { class: "map", viewBox: box.join(" "), "aria-hidden": "true", focusable: "false" },
    svg("path", { class: "grid", d: lines.join("") }),
    [...world.connections.values()].map((c) => svg("path", { class: "way", d: drawn(arc(world.airports.get(c.from), world.airports.get(c.to))) })),
    [...world.airports.values()].map((a) => dot(a, "dot", bright ? 2 : 1.5)),
    bright && [svg("path", { class: "way bright", d: drawn(way) }),
      dot(bright.from, "end", 4), dot(bright.to, "end", 4), label(bright.from, bright.to), label(bright.to, bright.from)]);
}
