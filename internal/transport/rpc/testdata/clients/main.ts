// A client as somebody would write it, with what buf generates.
import { create, fromJson, toJson } from "@bufbuild/protobuf";
import { ValueSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { Actions, Auth, Batch, CreateThingRequestSchema, Things, ThingState } from "./gen/things/v1/things_pb.js";

const [base, given] = process.argv.slice(2) as [string, string];
let token = given;
const signedIn: Interceptor = (next) => (request) => {
  request.header.set("Authorization", `Bearer ${token}`);
  return next(request);
};
const transport = createGrpcTransport({ baseUrl: base, interceptors: [signedIn] });
const things = createClient(Things, transport);
const actions = createClient(Actions, transport);

const made = await things.create(create(CreateThingRequestSchema, {
  name: "pen", price: 100n, day: { year: 2024, month: 2, day: 29 }, tags: ["a", "b"],
  state: ThingState.IN_USE, extra: fromJson(ValueSchema, { a: [1, null] }),
}), { headers: { "Idempotency-Key": "ts" } });
console.log(made.name, made.price, made.day?.day, made.tags, ThingState[made.state], made.version, 
  JSON.stringify(toJson(ValueSchema, made.extra!)));

const stop = new AbortController();
const changes = things.follow({ filter: `name != "nothing"` }, { signal: stop.signal })[Symbol.asyncIterator]();
const first = (await changes.next()).value!;
console.log("followed", first.reset, first.changes.length);

const updated = await things.update({ id: made.id, version: 1n, patch: { about: "writes" },
  updateMask: { paths: ["about", "weight"] } });
console.log(updated.about, updated.version);
const second = (await changes.next()).value!;
const change = second.changes[0]!.change;
console.log("changed", change.case === "put" ? change.value.about : change);
stop.abort();

const list = await things.list({ filter: "price == 100", expand: ["owner"], total: true });
console.log(list.items.length, list.total, list.items[0]!.expand?.owner?.name);

try {
  await actions.take({ thing: made.id }, { headers: { "Idempotency-Key": "take" } });
} catch (e) {
  if (!(e instanceof ConnectError)) throw e;
  console.log(Code[e.code], e.rawMessage, e.details.length);
}
const sums = await things.aggregate({ select: ["all:sum(price)", "mean:avg(price)"] });
const { all, mean } = sums.items[0]!.columns;
console.log(all?.value.value, mean?.value.value);

const session = await createClient(Auth, createGrpcTransport({ baseUrl: base })).signIn({
  email: "ana@example.com", password: "correct horse battery" });
token = session.token;
const done = await createClient(Batch, transport).do({ calls: [
  { call: { case: "updateThing", value: { id: made.id, patch: { name: "ink" } } } },
  { call: { case: "createThing", value: { name: "more", price: 1n } } },
] }, { headers: { "Idempotency-Key": "batch" } });
console.log(...done.answers.map(({ answer }) => answer.case === "updateThing" ||
  answer.case === "createThing" ? answer.value.name : answer.case));

await things.delete({ id: made.id });
console.log("gone");
