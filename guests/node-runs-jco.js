// Ends well where this Node can run jco 1.35, whose packages load modules as Node does
// since 20.19 and 22.13. For guests/build.sh, .ci/run and the tests.
const [major, minor] = process.versions.node.split(".").map(Number);
const since = { 20: 19, 22: 13 }[major];
const runs = since === undefined ? major > 23 : minor >= since;
process.exitCode = runs ? 0 : 1;
