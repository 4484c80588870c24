// What `podfs mount` might start, with every way it may end; its mountpoint's name says which.
const { options } = await new Promise((resolve) => process.once("message", resolve));
const behaviour = options.mountpoint.split("/").at(-1);

function send(message) {
  return new Promise((resolve) => process.send(message, undefined, undefined, resolve));
}

switch (behaviour) {
  case "ready":
    await send({ type: "progress", text: "reading metadata" });
    await send({ type: "ready", summary: { pid: process.pid, mountpoint: options.mountpoint, cwd: process.cwd() } });
    process.disconnect();
    setInterval(() => {}, 1000);
    break;
  case "failed":
    await send({ type: "failed", message: "there is no volume" });
    break;
  case "throws":
    throw new Error("out of luck");
  case "killed":
    process.kill(process.pid, "SIGKILL");
    break;
  case "slow":
    await send({ type: "progress", text: "waiting" });
    setInterval(() => {}, 1000);
    break;
}
