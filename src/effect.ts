/**
 * `cryovm/effect`: the library as Effects, scopes and streams.
 *
 * ```ts
 * const program = Effect.scoped(Effect.gen(function* () {
 *   const vm = yield* MicroVm.create({ memoryMib: 128 })
 *   yield* vm.start
 *   yield* vm.guest.ready()
 *   const info = yield* vm.snapshot({ dir: "./warm" })
 * }))
 * ```
 */
export type { Balloon } from "./devices/balloon/control.ts"
export * from "./errors.ts"
export * as MicroVm from "./micro-vm.ts"
