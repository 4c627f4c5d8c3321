// SPDX-License-Identifier: MIT
// A shared object that the test loads while it runs; its workers have to load it too.
extern "C" int plugin_triple(int n) { return 3 * n; }
