/** Lets test files that import "uvu" get the runner's own `suite` and `test`; "uvu/assert" stays uvu's. */

import * as nodeModule from "node:module"

const suitesUrl = new URL("./suites.mjs", import.meta.url).href

/** Node's resolve hook; it also runs in the hooks' own thread, which loads this same module. */
export const resolve = (specifier, context, nextResolve) =>
  specifier === "uvu" ? { url: suitesUrl, shortCircuit: true } : nextResolve(specifier, context)

export const redirectUvu = () => {
  // From Node 22.15 on hooks run in the same thread, and module.register is on its way out.
  if (nodeModule.registerHooks) nodeModule.registerHooks({ resolve })
  else nodeModule.register(import.meta.url)
}
