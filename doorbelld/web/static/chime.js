// The chime: two tones of a bell, made here, so that no file has to be fetched before it rings.

const TONES = [[659.3, 0], [523.3, 0.55]]; // Hz, and seconds from the start
const PARTIALS = [[1, 0.5, 1.6], [2, 0.14, 0.9], [3, 0.06, 0.5]]; // times, volume, seconds
const ATTACK = 0.01; // seconds; a tone that starts at once clicks
const SILENCE = 0.0001; // an exponential curve cannot begin or end at 0

// Play it on an AudioContext that is running.
export function chime(context) {
  const start = context.currentTime + ATTACK;
  for (const [frequency, after] of TONES) strike(context, frequency, start + after);
}

function strike(context, frequency, at) {
  for (const [times, volume, seconds] of PARTIALS) {
    const tone = context.createOscillator();
    const { gain } = connected(context, tone);
    tone.frequency.value = times * frequency;
    gain.setValueAtTime(SILENCE, at);
    gain.exponentialRampToValueAtTime(volume, at + ATTACK);
    gain.exponentialRampToValueAtTime(SILENCE, at + seconds);
    tone.start(at);
    tone.stop(at + seconds);
  }
}

function connected(context, tone) {
  const volume = context.createGain();
  tone.connect(volume);
  volume.connect(context.destination);
  return volume;
}
