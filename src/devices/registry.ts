/** Every kind of device state that this release reads and writes. */
import type { Component } from "../state/component.ts"
import { balloonComponent } from "./balloon/state.ts"
import { consoleComponent } from "./console/state.ts"
import { i8042Component } from "./legacy/i8042/state.ts"
import { serialComponent } from "./legacy/serial/state.ts"
import { rngComponent } from "./rng/state.ts"

/** A component of whatever state: what a registry holds. */
// biome-ignore lint/suspicious/noExplicitAny: a component both takes and gives its state, so `unknown` fits none.
export type AnyComponent = Component<any>

export const deviceComponents: readonly AnyComponent[] = [
  serialComponent,
  i8042Component,
  rngComponent,
  consoleComponent,
  balloonComponent,
]
