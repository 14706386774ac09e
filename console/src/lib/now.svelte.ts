// A clock for ages on the screen.

class Now {
  ms = $state(Date.now());
}

export const now = new Now();

/** Keeps `now` current while the component that calls this lives. */
export function clockTick(): void {
  $effect(() => {
    const timer = setInterval(() => {
      now.ms = Date.now();
    }, 1_000);
    return () => clearInterval(timer);
  });
}
