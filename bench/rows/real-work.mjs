/** What people do in a workspace, with the programs they do it with: as a ratio to the local filesystem. */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { bash, run, timed } from "../support/commands.mjs";
import { inTurn } from "../support/context.mjs";
import { EventLoopRow } from "../support/event-loop.mjs";
import { makeFiles, settle } from "../support/files.mjs";
import { nativeName } from "../support/machine.mjs";
import { OURS, Row } from "../support/row.mjs";
import { BenchStore } from "../support/s3.mjs";
import { Workspace } from "../support/workspace.mjs";

export const family = {
  id: "work",
  title: "real work",
  needs: ["root", "fuse", "git", "npm", "python3", "pip"],
  minutes: 5,
  measure,
};

async function* measure(context) {
  const native = await nativeName();
  const workspace = await Workspace.create();
  try {
    const store = await BenchStore.start(workspace);
    const mount = await workspace.mount(store.volumeUrl("work"), "workspace", "--create");
    const loop = await EventLoopRow.start(workspace, family);
    const places = { [native]: await workspace.path("native"), [OURS]: mount.directory };
    const rounds = context.rounds(3, 1);
    const inputs = await prepare(context, workspace);
    for (const task of tasks(inputs)) {
      const row = new Row(describe(task, native));
      for (let round = 0; round < rounds; round++) {
        context.progress(`${task.title}, round ${round + 1}`);
        const figures = {};
        for (const name of inTurn(Object.keys(places), round)) {
          const directory = join(places[name], `round-${round}`);
          await mkdir(directory, { recursive: true });
          await task.before?.(directory);
          await settle(mount);
          const measure = () => timed(() => task.run(directory));
          figures[name] = await (name === OURS ? loop.during(mount, task.title, measure) : measure());
        }
        row.add(figures);
      }
      yield row.finish();
    }
    yield loop.finish();
  } finally {
    await workspace.dispose();
  }
}

/** A repository, a package for npm and one for pip, on the local filesystem. */
async function prepare(context, workspace) {
  const files = context.pick(10_000, 500);
  const repositoryFiles = context.pick(5000, 300);
  context.progress("making a repository and packages");
  const repository = join(workspace.directory, "repository");
  await makeFiles("repository", repository, repositoryFiles);
  const sources = await workspace.path("sources");
  await makeFiles("package", join(sources, "bench_package"), files);
  const tarball = join(workspace.directory, "bench-package-1.0.0.tgz");
  await packForNpm(sources, tarball);
  const wheel = join(workspace.directory, "bench_package-1.0.0-py3-none-any.whl");
  await packForPip(sources, wheel);
  return { files, repositoryFiles, repository, tarball, wheel, npmCache: await workspace.path("npm-cache") };
}

async function packForNpm(sources, tarball) {
  await writeFile(join(sources, "package.json"), '{ "name": "bench-package", "version": "1.0.0" }\n');
  await run("tar", ["czf", tarball, "--transform=s,^,package/,", "-C", sources, "package.json", "bench_package"]);
}

/** A wheel is a zip with three more files: https://packaging.python.org/specifications/binary-distribution-format/ */
async function packForPip(sources, wheel) {
  const info = join(sources, "bench_package-1.0.0.dist-info");
  await mkdir(info);
  await writeFile(join(info, "METADATA"), "Metadata-Version: 2.1\nName: bench-package\nVersion: 1.0.0\n");
  await writeFile(join(info, "WHEEL"), "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n");
  await writeFile(join(info, "RECORD"), "");
  await run("python3", ["-m", "zipfile", "-c", wheel, join(sources, "bench_package"), info]);
}

/** In this order: what is removed last is what was made before. Each makes its own directory, and no inode is reused. */
function tasks({ files, repositoryFiles, repository, tarball, wheel, npmCache }) {
  const npm = ["install", tarball, "--offline", "--no-audit", "--no-fund", "--no-package-lock", "--cache", npmCache];
  // Not --target, which unpacks to $TMPDIR and moves it from there: a rename on the filesystem that has both, a copy elsewhere.
  const pip = ["-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile", "--no-warn-script-location"];
  // At most 4,900 of them.
  const importAll = [
    "import importlib, pathlib, sys",
    "site = next(pathlib.Path('site').rglob('bench_package')).parent",
    "sys.path.insert(0, str(site))",
    "for path in sorted(site.glob('bench_package/part_0*/module_*.py')):",
    "    importlib.import_module('.'.join(path.relative_to(site).with_suffix('').parts))",
  ].join("\n");
  return [
    {
      id: "git-clone",
      title: `git clone of ${count(repositoryFiles)} files`,
      run: (at) => run("git", ["clone", "-q", `file://${repository}`, join(at, "clone")]),
    },
    { id: "git-status", title: "git status in it", run: (at) => run("git", ["-C", join(at, "clone"), "status", "-s"]) },
    {
      id: "npm-install",
      title: `npm install of ${count(files)} files`,
      before: (at) => bash("mkdir -p app && echo '{}' > app/package.json", { cwd: at }),
      run: (at) => run("npm", npm, { cwd: join(at, "app") }),
    },
    {
      id: "pip-install",
      title: `pip install of ${count(files)} files`,
      run: (at) => run("python3", [...pip, "--root-user-action=ignore", "--prefix", join(at, "site"), wheel]),
    },
    {
      id: "python-import",
      // It also writes the compiled module beside each.
      title: "python: first import of its modules",
      run: (at) => run("python3", ["-c", importAll], { cwd: at }),
    },
    {
      id: "python-import-again",
      title: "python: import again",
      run: (at) => run("python3", ["-c", importAll], { cwd: at }),
    },
    { id: "rm", title: "rm -rf of all that", run: (at) => run("rm", ["-rf", at]) },
  ];
}

function describe({ id, title }, native) {
  return {
    id: `work-${id}`,
    group: "real work",
    title,
    unit: "s",
    better: "lower",
    conditions: "page cache warm on both sides; the upload goes on behind it",
    yardstick: native,
    tolerance: 0.3,
  };
}

function count(files) {
  return files.toLocaleString("en-US");
}
