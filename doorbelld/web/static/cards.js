// Cards: what asks for an answer, beside the picture.

// app.css makes room for them where `stage` has data-card.
export function showCard(stage, card, isShown) {
  if (card.hidden === !isShown) return;
  card.hidden = !isShown;
  if (stage.querySelector(".card:not([hidden])")) stage.dataset.card = "";
  else delete stage.dataset.card;
}
