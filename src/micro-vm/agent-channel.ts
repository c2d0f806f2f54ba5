/** The way to the guest agent of a machine: its virtio-console. */
import * as Effect from "effect/Effect"
import type { ConsoleDevice } from "../devices/console/model.ts"
import type { AgentChannel } from "../guest/client.ts"
import { GuestUnavailable } from "../guest/errors.ts"

/** @param device `undefined` for a machine that has none: nothing is sent, and nothing comes */
export const agentChannel = (device: ConsoleDevice | undefined): AgentChannel => {
  if (device === undefined) return { send: () => Effect.never, onData: () => () => {} }
  return {
    send: (bytes) =>
      device.send(bytes).pipe(
        Effect.catchTag("DeviceClosed", (cause) =>
          Effect.fail(new GuestUnavailable({ message: "the machine has stopped", cause })),
        ),
        // The client sends no frame that is longer than the device takes.
        Effect.catchTag("InputTooLarge", Effect.die),
      ),
    onData: (listener) => device.onData(listener),
  }
}
