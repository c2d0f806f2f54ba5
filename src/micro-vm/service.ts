/** One microVM as a service, for programs that are put together from layers. */
import * as Context from "effect/Context"
import * as Layer from "effect/Layer"
import type { MicroVmConfig } from "../machine/config.ts"
import { create, type MicroVm, type RestoreOptions, restore } from "../micro-vm.ts"

/**
 * The microVM that a program works with.
 *
 * ```ts
 * const program = Effect.gen(function* () {
 *   const vm = yield* MicroVmService
 *   return yield* vm.guest.exec("uname -a")
 * }).pipe(Effect.provide(MicroVmService.restored("./warm", { resume: true })))
 * ```
 */
export class MicroVmService extends Context.Service<MicroVmService, MicroVm>()("cryovm/MicroVm") {
  /** A machine made by `create`, ready to start; it ends with the layer. */
  static readonly created = (config?: MicroVmConfig) => Layer.effect(MicroVmService, create(config))

  /** A machine brought back by `restore`; it ends with the layer. */
  static readonly restored = (dir: string, options?: RestoreOptions) =>
    Layer.effect(MicroVmService, restore(dir, options))
}
