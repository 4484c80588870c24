/**
 * The layers of src/, as rules: who may import whom, and why. The table is DESIGN section 5; a layer that is not named
 * in a row is forbidden to it. `base` and `metrics` are for everyone.
 */
const EVERYONE_MAY = ["base", "metrics"];

const LAYERS = {
  base: { may: [], because: "errors, ids and the clock are the ground: they know of nothing above" },
  metrics: { may: [], because: "names and units of metrics are data; those who count import them, not the reverse" },
  config: { may: [], because: "options are plain data, which can be read without loading what they configure" },
  format: { may: [], because: "codecs turn bytes into values and back: no I/O, so that golden files can test them" },
  native: { may: [], because: "the only door to the addon leads nowhere else" },
  backend: { may: [], because: "an object store stores objects; what is in them is not its business" },
  meta: {
    may: ["backend", "format"],
    because: "metadata is kept and shipped without knowing of file content, of caches or of the kernel",
  },
  transfer: {
    may: ["backend", "format"],
    because: "moving bytes between objects and files needs no metadata: who asks knows which bytes",
  },
  cache: {
    may: ["transfer", "meta", "format", "native"],
    because: "the cache holds and fetches content; when it becomes durable is the publisher's decision",
  },
  publish: {
    may: ["meta", "cache", "transfer", "format"],
    because: "order and durability of publishing do not depend on who wrote: no filesystem, no kernel",
  },
  fs: {
    may: ["publish", "meta", "cache", "format"],
    because: "POSIX semantics are the same for every transport and every backend, so it knows neither",
  },
  staging: {
    may: ["fs", "publish", "cache", "meta", "format", "native"],
    because: "it is a way into the filesystem beside the kernel's, so it sees what a transport sees, and no kernel",
  },
  fuse: { may: ["fs", "native"], because: "transports translate between the kernel and the filesystem, nothing more" },
  volume: {
    may: ["transfer", "meta", "backend", "format"],
    because: "volumes are made, listed and checked where nothing is mounted",
  },
  benchmark: {
    may: ["backend", "native", "config", "format"],
    because: "measuring works on any directory or backend; a mounted one is a directory like the others",
  },
  checkpoint: {
    may: ["native", "format", "config", "staging"],
    because: "a client runs in other people's programs: it speaks to a mount, and loads nothing of one",
  },
  mount: {
    may: [
      "volume",
      "staging",
      "fuse",
      "fs",
      "publish",
      "cache",
      "transfer",
      "meta",
      "backend",
      "format",
      "native",
      "config",
    ],
    because: "mount composes everything below; only the command line is above it",
  },
  cli: {
    may: ["mount", "volume", "benchmark", "checkpoint", "config"],
    because: "commands ask, and print: what they need of the layers below, mount and volume do for them",
  },
};

const layerRules = Object.entries(LAYERS).map(([layer, { may, because }]) => ({
  name: `${layer}-imports`,
  comment: `${layer} may import ${[...may, ...EVERYONE_MAY].join(", ")}: ${because}.`,
  severity: "error",
  from: {
    path: `^src/${layer}/`,
    // These have rules of their own below.
    pathNot: "^src/(cli/doctor|fuse/errno\\.ts$)",
  },
  to: { path: "^src/", pathNot: `^src/(${[layer, ...may, ...EVERYONE_MAY].join("|")})/` },
}));

module.exports = {
  forbidden: [
    ...layerRules,
    {
      name: "doctor-imports",
      comment: "doctor may import what commands may, and native: it tries the addon where nothing is mounted.",
      severity: "error",
      from: { path: "^src/cli/doctor" },
      to: { path: "^src/", pathNot: "^src/(cli|mount|volume|config|native|base|metrics)/" },
    },
    {
      name: "errno-imports",
      comment: "One table maps the errors of every layer to errno, and it is where errno is answered.",
      severity: "error",
      from: { path: "^src/fuse/errno\\.ts$" },
      to: { path: "^src/", pathNot: "^src/(fuse|fs|publish|cache|transfer|meta|backend|format|native|base|metrics)/" },
    },
    {
      name: "checkpoint-imports-protocol",
      comment:
        "Of staging, clients share the protocol: what speaks it on the other side brings the whole daemon along.",
      severity: "error",
      from: { path: "^src/checkpoint/" },
      to: { path: "^src/staging/", pathNot: "^src/staging/protocol\\.ts$" },
    },
    {
      name: "package-imports",
      comment: "What JavaScript programs import is the client; the rest of podfs is a program.",
      severity: "error",
      from: { path: "^src/index\\.ts$" },
      to: { path: "^src/", pathNot: "^src/(checkpoint|base)/index\\.ts$" },
    },
    {
      name: "unknown-layer",
      comment: "Every folder of src/ is a layer with a row in the table above; add one, with its reason.",
      severity: "error",
      from: { path: "^src/", pathNot: `^src/((${Object.keys(LAYERS).join("|")})/|index\\.ts$)` },
      to: {},
    },
    {
      name: "through-the-index",
      comment:
        "A layer is imported through its index.ts, which says what of it others may rely on. base has no inside: " +
        "its files are imported as they are, where that keeps contracts free of cycles. The protocol of staging is " +
        "imported as it is by its clients.",
      severity: "error",
      from: { path: "^src/([^/]+)/" },
      to: {
        path: "^src/([^/]+)/",
        pathNot: ["^src/$1/", "^src/[^/]+/index\\.ts$", "^src/base/", "^src/staging/protocol\\.ts$"],
      },
    },
    {
      name: "only-compose-constructs",
      comment:
        "mount/compose.ts is the only place that constructs components, so one file shows how they hang together; " +
        "the rest of mount sees their types.",
      severity: "error",
      from: { path: "^src/mount/", pathNot: "^src/mount/compose\\.ts$" },
      to: { path: "^src/(staging|fuse|fs|publish|cache|transfer|meta|backend)/", dependencyTypesNot: ["type-only"] },
    },
    {
      name: "no-disk",
      comment: "Codecs, POSIX semantics and metrics do no I/O of their own, so that tests drive them completely.",
      severity: "error",
      from: { path: "^src/(format|fs|metrics)/" },
      to: { path: "^(node:)?(fs|fs/promises|net|http|https|child_process)$" },
    },
    {
      name: "no-cycles",
      comment: "Files that import each other can only be understood together; types may, as they are gone at run time.",
      severity: "error",
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } },
    },
    {
      name: "no-test-code",
      comment: "What ships does not depend on tests or benchmarks.",
      severity: "error",
      from: { path: "^src/" },
      to: { path: "^(test|bench)/" },
    },
    {
      name: "installed-only",
      comment: "What ships may use dependencies, not what is only there for development.",
      severity: "error",
      from: { path: "^src/" },
      to: { dependencyTypes: ["npm-dev", "npm-no-pkg", "npm-unknown"], dependencyTypesNot: ["type-only"] },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsConfig: { fileName: "tsconfig.json" },
    // Types count: a layer that knows another's types depends on it.
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node", "default", "types"] },
  },
};
