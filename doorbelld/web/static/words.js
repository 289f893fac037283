// All sentences of the page, in every language that it speaks, and dates to go with them.
//
// To add a language: copy the table `en`, translate its values, and name the new table in `tables`
// by its ISO 639 code; do the same with the few words of the login form, in login.js. {names} in
// braces are filled in and stay as they are. A sentence that depends on {count} has a key for each
// plural that the language has: zero, one, two, few, many, other. A headline has no full stop,
// because a screen reader hears one after it.

const en = {
  // The badge, by the state of the page.
  "badge.connecting": "Connecting",
  "badge.live": "Live",
  "badge.slow": "Slow",
  "badge.stale": "Stale",
  "badge.offline": "Offline",
  "badge.full": "Busy",
  "badge.paused": "Paused",
  "badge.shut": "Camera off",
  "title.live": "● {name}",
  "title.connecting": "{name} – connecting",
  "title.slow": "● {name} – slow",
  "title.stale": "{name} – stale",
  "title.offline": "{name} – offline",
  "title.full": "{name} – busy",
  "title.paused": "{name} – paused",
  "title.shut": "{name} – camera paused",

  // The bars.
  "picture.alt": "{name} camera",
  "picture.time": "Picture of {time}",
  "watching.one": "{count} watching",
  "watching.other": "{count} watching",
  "watching.since": "{address}, since {time}",
  "watching.self": "{address}, since {time}: this page",
  "watching.more.one": "and {count} more",
  "watching.more.other": "and {count} more",
  "snapshot.take": "Snapshot",
  "fullscreen.enter": "Full screen",
  "fullscreen.leave": "Leave full screen",
  "fullscreen.refused": "This browser does not allow full screen here.",
  "logout": "Log out",

  // The bell.
  "ring.title": "Ringing: {name}",
  "ring.headline": "Someone is at the door",
  "ring.twice": "Rang twice, last at {time}",
  "ring.presses.other": "Rang {count} times, last at {time}",
  "ring.answered": "Answered",
  "ring.close": "Close",
  "ring.none": "No picture",
  "ring.space": "There was no room to keep it",
  "ring.last": "Last rang {time}",
  "ring.visits": "Visits",
  "ring.bell": "Doorbell",
  "sound.on": "Sound on",
  "sound.off": "Sound off",
  "sound.tap": "Tap for sound",
  "sound.silenced": "The browser has silenced this page until you tap it.",
  "sound.refused": "This browser lets no page make a sound here.",
  "shutter.pause": "Pause camera",
  "shutter.ask": "Pause the camera?",
  "shutter.ask.detail": "No one sees anything until it is resumed. The bell still rings.",
  "shutter.cancel": "Cancel",
  "shutter.since": "Camera paused since {time}",
  "shutter.bell": "The bell still rings, without a picture.",
  "shutter.resume": "Resume",
  "failed.0": "That did not work: the doorbell does not answer.",
  "failed.401": "That did not work: please log in again.",
  "failed.403": "That did not work: this device may not do it.",
  "failed.other": "That did not work: the doorbell answers with error {status}.",

  // What is wrong with the camera, by its reason, and what to do.
  "camera.starting": "Starting the camera",
  "offline.since": "Offline since {time}",
  "reason.none": "No camera was found",
  "reason.none.help": "Check that a camera is plugged in.",
  "reason.missing": "The camera is not connected",
  "reason.missing.help": "Check its cable and its plug.",
  "reason.busy": "Another program is using the camera",
  "reason.busy.help": "Close that program.",
  "reason.denied": "The doorbell may not use the camera",
  "reason.denied.help": "Check the permissions of the camera.",
  "reason.login": "The camera does not accept the login",
  "reason.login.help": "Check the camera's user name and password in the settings.",
  "reason.unreachable": "The camera does not answer",
  "reason.unreachable.help": "Check that it is switched on and connected to the network.",
  "reason.silent": "The camera sends no picture",
  "reason.silent.help": "If this goes on, switch it off and on again.",
  "reason.damaged": "The camera's pictures cannot be shown",
  "reason.damaged.help": "Check its cable; the technical details say more.",
  "reason.hangs": "The camera hangs",
  "reason.hangs.help": "Unplug it and plug it in again, or restart the doorbell.",
  "reason.software": "The doorbell lacks software or memory",
  "reason.software.help": "The technical details say what is missing.",
  "reason.paused": "The camera is paused",
  "reason.paused.help": "It was paused on purpose; any page can resume it.",
  "reason.settings": "The settings do not fit the camera",
  "reason.settings.help": "Check them; the technical details say what does not fit.",
  "reason.other": "The camera does not work",
  "reason.other.help": "The technical details say more.",
  "technical": "Technical details",
  "trying": "We keep trying.",

  // The connection.
  "connection.none": "No connection",
  "connection.network": "This device is not connected to a network.",
  "connection.silent": "The doorbell has not answered since {time}.",
  "connection.weak": "Weak connection",
  "connection.waiting": "The doorbell has not answered for a moment.",
  "connection.restart": "The doorbell is restarting",
  "connection.restart.help": "It is back in a moment.",
  "stale.age": "The picture is {seconds} s old",
  "stale.camera": "The camera has stopped sending for a moment.",
  "stale.connection": "The connection to this device is too slow.",
  "slow.smaller": "Weak connection: smaller pictures",
  "slow.late": "Weak connection: {seconds} s behind",
  "slow.full": "Weak connection; the doorbell cannot make smaller pictures",
  "full": "No room right now",
  "full.limit.one": "Only {count} can watch at the same time. This page keeps trying.",
  "full.limit.other": "Only {count} can watch at the same time. This page keeps trying.",
  "full.second": "One picture a second until there is room",

  // Answers that say no, by their status.
  "answer.401": "Please log in again",
  "answer.401.help": "The login has ended, or the password has changed.",
  "answer.403": "This device may not watch",
  "answer.403.help": "The settings of the doorbell do not allow it; the details say why.",
  "answer.404": "Not found at this address",
  "answer.404.help": "Open the doorbell's own address again.",
  "answer.421": "The doorbell does not know this name",
  "answer.421.help": "Open it by its address, or add the name to the setting “hosts”.",
  "answer.500": "The doorbell has an internal error",
  "answer.500.help": "Its log says more.",
  "answer.502": "The doorbell is not running",
  "answer.502.help": "The proxy in front of it answers, the doorbell does not.",
  "answer.other": "The doorbell answers with an error",
  "answer.other.help": "The status is {status}.",

  // The snapshot.
  "snapshot.busy": "Saving the picture",
  "snapshot.saved": "Snapshot saved",
  "snapshot.shared": "Snapshot shared",
  "snapshot.silent": "No snapshot: the doorbell does not answer.",
  "snapshot.late": "No snapshot: there was no answer for {seconds} s.",
  "snapshot.401": "No snapshot: please log in again.",
  "snapshot.403": "No snapshot: this device may not watch.",
  "snapshot.503": "No snapshot: there is no live picture.",
  "snapshot.other": "No snapshot: the doorbell answers with error {status}.",

  // Add to home screen.
  "install": "Add to home screen",
  "install.iphone": "iPhone, iPad: in Safari, “Share”, then “Add to Home Screen”.",
  "install.android": "Android: in the browser's menu, “Add to Home screen”.",
  "install.icon": "This makes an icon that opens the page in the browser.",
  "install.app": "This makes an app in its own window.",
  "install.trust": "For an app in its own window, this phone first has to trust the doorbell's certificate.",
  "install.certificate": "Certificate of this doorbell",
  "install.trust.iphone": "Install the profile under Settings › General › VPN & Device Management. Then switch it on under Settings › General › About › Certificate Trust Settings.",
  "install.trust.android": "Settings › Security › Encryption & credentials › Install a certificate › CA certificate.",
  "install.fingerprint": "Compare its fingerprint with the one that “doorbelld status” shows.",
  "install.back": "Back to the picture",

  // The page of visits.
  "visits.title": "Visits",
  "visits.live": "Live picture",
  "visits.filter": "Show",
  "visits.all": "All",
  "visits.rings": "Rings",
  "visits.motions": "Motion",
  "visits.today": "Today",
  "visits.yesterday": "Yesterday",
  "visits.ring": "Ring",
  "visits.motion": "Motion",
  "visits.presses.one": "{count} press",
  "visits.presses.other": "{count} presses",
  "visits.answered": "Answered at {time}",
  "visits.missed": "Not answered",
  "visits.open": "Going on now",
  "visits.interrupted": "Cut short by a restart",
  "visits.seconds": "{seconds} s",
  "visits.name": "{kind}, {time}",
  "visits.new": "New: {kind}, {time}",
  "visits.still": "Picture: {kind}, {time}",
  "visits.nothing": "No picture",
  "visits.reason.space": "There was no room for pictures.",
  "visits.reason.paused": "The camera was closed.",
  "visits.none": "No visits yet",
  "visits.none.ring": "No rings yet",
  "visits.none.motion": "No motion yet",
  "visits.older": "Earlier visits",
  "visits.again": "Try again",
  "visits.kept.one": "{used} of {space} used. Visits are kept for {count} day.",
  "visits.kept.other": "{used} of {space} used. Visits are kept for {count} days.",
  "visits.back": "Back to the visits",

  // One visit.
  "visits.play": "Play",
  "visits.pause": "Pause",
  "visits.earlier": "One picture back",
  "visits.later": "One picture on",
  "visits.film": "Moment in the film",
  "visits.save.still": "Save picture",
  "visits.save.film": "Save film",
  "visits.delete": "Delete",
  "visits.delete.ask": "Delete this visit for good?",
  "visits.delete.done": "Visit deleted",
  "visits.empty": "Delete all",
  "visits.empty.ask.one": "Delete {count} visit for good?",
  "visits.empty.ask.other": "Delete all {count} visits for good?",
  "visits.empty.yes": "Delete all {count}",
  "visits.empty.done": "All visits deleted",
  "visits.keep": "Keep",
  "visits.error.0": "The doorbell does not answer. Check the connection and try again.",
  "visits.error.403": "This device may not do that.",
  "visits.error.404": "This visit is not there any more.",
  "visits.error.503": "The doorbell is busy or its storage is not there. Try again.",
  "visits.error.other": "The doorbell answers with error {status}.",

  // Parts of the picture in which motion does not count.
  "zones.title": "Parts to ignore",
  "zones.about": "Motion in these parts of the picture is no visit: a street, a tree.",
  "zones.draw": "Drag over the picture to add a part. Drag a part to move it.",
  "zones.keys": "Keys: arrows move a part, with Shift they resize it, Delete removes it.",
  "zones.add": "Add a part",
  "zones.remove": "Remove",
  "zones.zone": "Part {number}: left {left} %, top {top} %, {width} × {height} %",
  "zones.many.one": "No more than {count} part.",
  "zones.many.other": "No more than {count} parts.",
  "zones.line": "Line for the configuration",
  "zones.copy": "Copy",
  "zones.copied": "Copied",
  "zones.where": "Put it below [visits] in /etc/doorbelld/doorbelld.conf, then run this.",
  "zones.picture": "Picture of the camera",
  "zones.blind": "There is no picture now. The parts are drawn all the same.",
};

const de = {
  "badge.connecting": "Verbindet",
  "badge.live": "Live",
  "badge.slow": "Langsam",
  "badge.stale": "Veraltet",
  "badge.offline": "Offline",
  "badge.full": "Besetzt",
  "badge.paused": "Pause",
  "badge.shut": "Kamera aus",
  "title.live": "● {name}",
  "title.connecting": "{name} – verbindet",
  "title.slow": "● {name} – langsam",
  "title.stale": "{name} – veraltet",
  "title.offline": "{name} – offline",
  "title.full": "{name} – besetzt",
  "title.paused": "{name} – Pause",
  "title.shut": "{name} – Kamera pausiert",

  "picture.alt": "Kamera {name}",
  "picture.time": "Bild: {time}",
  "watching.one": "{count} sieht zu",
  "watching.other": "{count} sehen zu",
  "watching.since": "{address}, seit {time}",
  "watching.self": "{address}, seit {time}: diese Seite",
  "watching.more.one": "und {count} weiteres Gerät",
  "watching.more.other": "und {count} weitere Geräte",
  "snapshot.take": "Foto",
  "fullscreen.enter": "Vollbild",
  "fullscreen.leave": "Vollbild beenden",
  "fullscreen.refused": "Dieser Browser erlaubt hier kein Vollbild.",
  "logout": "Abmelden",

  "ring.title": "Es klingelt: {name}",
  "ring.headline": "Jemand ist an der Tür",
  "ring.twice": "Zweimal geklingelt, zuletzt {time}",
  "ring.presses.other": "{count}-mal geklingelt, zuletzt {time}",
  "ring.answered": "Erledigt",
  "ring.close": "Schließen",
  "ring.none": "Kein Bild",
  "ring.space": "Es war kein Platz dafür",
  "ring.last": "Zuletzt {time}",
  "ring.visits": "Besuche",
  "ring.bell": "Klingel",
  "sound.on": "Ton an",
  "sound.off": "Ton aus",
  "sound.tap": "Tippen für Ton",
  "sound.silenced": "Der Browser hat die Seite stummgeschaltet: für Ton antippen.",
  "sound.refused": "Dieser Browser erlaubt hier keinen Ton.",
  "shutter.pause": "Kamera pausieren",
  "shutter.ask": "Kamera pausieren?",
  "shutter.ask.detail": "Niemand sieht etwas, bis sie weiterläuft. Die Klingel geht trotzdem.",
  "shutter.cancel": "Abbrechen",
  "shutter.since": "Kamera pausiert seit {time}",
  "shutter.bell": "Die Klingel geht trotzdem, ohne Bild.",
  "shutter.resume": "Fortsetzen",
  "failed.0": "Das ging nicht: Die Türklingel antwortet nicht.",
  "failed.401": "Das ging nicht: Bitte neu anmelden.",
  "failed.403": "Das ging nicht: Dieses Gerät darf das nicht.",
  "failed.other": "Das ging nicht: Die Türklingel meldet Fehler {status}.",

  "camera.starting": "Die Kamera startet",
  "offline.since": "Offline seit {time}",
  "reason.none": "Keine Kamera gefunden",
  "reason.none.help": "Prüfen, ob eine Kamera angeschlossen ist.",
  "reason.missing": "Die Kamera ist nicht angeschlossen",
  "reason.missing.help": "Kabel und Stecker prüfen.",
  "reason.busy": "Ein anderes Programm benutzt die Kamera",
  "reason.busy.help": "Dieses Programm beenden.",
  "reason.denied": "Die Türklingel darf die Kamera nicht benutzen",
  "reason.denied.help": "Zugriffsrechte der Kamera prüfen.",
  "reason.login": "Die Kamera lehnt die Anmeldung ab",
  "reason.login.help": "Benutzername und Passwort der Kamera in den Einstellungen prüfen.",
  "reason.unreachable": "Die Kamera antwortet nicht",
  "reason.unreachable.help": "Prüfen, ob sie eingeschaltet und mit dem Netzwerk verbunden ist.",
  "reason.silent": "Die Kamera sendet kein Bild",
  "reason.silent.help": "Wenn es so bleibt: Kamera aus- und wieder einschalten.",
  "reason.damaged": "Die Bilder der Kamera lassen sich nicht anzeigen",
  "reason.damaged.help": "Kabel prüfen; mehr dazu in den technischen Details.",
  "reason.hangs": "Die Kamera reagiert nicht mehr",
  "reason.hangs.help": "Kamera neu einstecken oder die Türklingel neu starten.",
  "reason.software": "Der Türklingel fehlt Software oder Speicher",
  "reason.software.help": "Was fehlt, steht in den technischen Details.",
  "reason.paused": "Die Kamera ist pausiert",
  "reason.paused.help": "Das war Absicht; jede Seite kann sie fortsetzen.",
  "reason.settings": "Die Einstellungen passen nicht zur Kamera",
  "reason.settings.help": "Was nicht passt, steht in den technischen Details.",
  "reason.other": "Die Kamera funktioniert nicht",
  "reason.other.help": "Mehr dazu in den technischen Details.",
  "technical": "Technische Details",
  "trying": "Wir versuchen es weiter.",

  "connection.none": "Keine Verbindung",
  "connection.network": "Dieses Gerät ist mit keinem Netzwerk verbunden.",
  "connection.silent": "Keine Antwort von der Türklingel seit {time}.",
  "connection.weak": "Schwache Verbindung",
  "connection.waiting": "Die Türklingel antwortet gerade nicht.",
  "connection.restart": "Die Türklingel startet neu",
  "connection.restart.help": "Gleich ist sie wieder da.",
  "stale.age": "Das Bild ist {seconds} s alt",
  "stale.camera": "Die Kamera sendet gerade nicht.",
  "stale.connection": "Die Verbindung zu diesem Gerät ist zu langsam.",
  "slow.smaller": "Schwache Verbindung: kleinere Bilder",
  "slow.late": "Schwache Verbindung: {seconds} s verspätet",
  "slow.full": "Schwache Verbindung; kleinere Bilder sind hier nicht möglich",
  "full": "Gerade kein Platz frei",
  "full.limit.one": "Nur {count} Gerät kann gleichzeitig zusehen. Wir versuchen es weiter.",
  "full.limit.other": "Nur {count} Geräte können gleichzeitig zusehen. Wir versuchen es weiter.",
  "full.second": "Ein Bild pro Sekunde, bis Platz frei ist",

  "answer.401": "Bitte neu anmelden",
  "answer.401.help": "Die Anmeldung ist abgelaufen, oder das Passwort wurde geändert.",
  "answer.403": "Dieses Gerät darf nicht zusehen",
  "answer.403.help": "Die Einstellungen der Türklingel erlauben es nicht; mehr in den Details.",
  "answer.404": "Unter dieser Adresse ist nichts",
  "answer.404.help": "Die Adresse der Türklingel selbst öffnen.",
  "answer.421": "Die Türklingel kennt diesen Namen nicht",
  "answer.421.help": "Über ihre Adresse öffnen, oder den Namen unter „hosts“ eintragen.",
  "answer.500": "Die Türklingel hat einen internen Fehler",
  "answer.500.help": "Mehr dazu in ihrem Protokoll.",
  "answer.502": "Die Türklingel läuft nicht",
  "answer.502.help": "Der Proxy davor antwortet, die Türklingel nicht.",
  "answer.other": "Die Türklingel meldet einen Fehler",
  "answer.other.help": "Der Status ist {status}.",

  "snapshot.busy": "Foto wird gespeichert",
  "snapshot.saved": "Foto gespeichert",
  "snapshot.shared": "Foto geteilt",
  "snapshot.silent": "Kein Foto: Die Türklingel antwortet nicht.",
  "snapshot.late": "Kein Foto: {seconds} s lang keine Antwort.",
  "snapshot.401": "Kein Foto: Bitte neu anmelden.",
  "snapshot.403": "Kein Foto: Dieses Gerät darf nicht zusehen.",
  "snapshot.503": "Kein Foto: Es gibt gerade kein Live-Bild.",
  "snapshot.other": "Kein Foto: Die Türklingel meldet Fehler {status}.",

  "install": "Zum Startbildschirm",
  "install.iphone": "iPhone, iPad: in Safari „Teilen“, dann „Zum Home-Bildschirm“.",
  "install.android": "Android: im Menü des Browsers „Zum Startbildschirm hinzufügen“.",
  "install.icon": "Das Symbol öffnet diese Seite im Browser.",
  "install.app": "Die Seite wird zur App mit eigenem Fenster.",
  "install.trust": "Für eine App mit eigenem Fenster muss das Handy zuerst dem Zertifikat der Türklingel vertrauen.",
  "install.certificate": "Zertifikat dieser Türklingel",
  "install.trust.iphone": "Das Profil unter „Einstellungen › Allgemein › VPN und Geräteverwaltung“ installieren. Dann unter „Einstellungen › Allgemein › Info › Zertifikatsvertrauenseinstellungen“ einschalten.",
  "install.trust.android": "Einstellungen › Sicherheit › Verschlüsselung & Anmeldedaten › Zertifikat installieren › CA-Zertifikat.",
  "install.fingerprint": "Den Fingerabdruck mit dem vergleichen, den „doorbelld status“ zeigt.",
  "install.back": "Zurück zum Bild",

  "visits.title": "Besuche",
  "visits.live": "Live-Bild",
  "visits.filter": "Anzeigen",
  "visits.all": "Alle",
  "visits.rings": "Klingeln",
  "visits.motions": "Bewegung",
  "visits.today": "Heute",
  "visits.yesterday": "Gestern",
  "visits.ring": "Klingeln",
  "visits.motion": "Bewegung",
  "visits.presses.one": "{count}-mal gedrückt",
  "visits.presses.other": "{count}-mal gedrückt",
  "visits.answered": "Beantwortet um {time}",
  "visits.missed": "Nicht beantwortet",
  "visits.open": "Gerade jetzt",
  "visits.interrupted": "Durch einen Neustart abgebrochen",
  "visits.seconds": "{seconds} s",
  "visits.name": "{kind}, {time}",
  "visits.new": "Neu: {kind}, {time}",
  "visits.still": "Bild: {kind}, {time}",
  "visits.nothing": "Kein Bild",
  "visits.reason.space": "Für Bilder war kein Platz.",
  "visits.reason.paused": "Die Kamera war geschlossen.",
  "visits.none": "Noch keine Besuche",
  "visits.none.ring": "Es hat noch nicht geklingelt",
  "visits.none.motion": "Noch keine Bewegung",
  "visits.older": "Frühere Besuche",
  "visits.again": "Noch einmal versuchen",
  "visits.kept.one": "{used} von {space} belegt. Besuche bleiben {count} Tag.",
  "visits.kept.other": "{used} von {space} belegt. Besuche bleiben {count} Tage.",
  "visits.back": "Zurück zu den Besuchen",

  "visits.play": "Abspielen",
  "visits.pause": "Anhalten",
  "visits.earlier": "Ein Bild zurück",
  "visits.later": "Ein Bild weiter",
  "visits.film": "Stelle im Film",
  "visits.save.still": "Bild sichern",
  "visits.save.film": "Film sichern",
  "visits.delete": "Löschen",
  "visits.delete.ask": "Diesen Besuch endgültig löschen?",
  "visits.delete.done": "Besuch gelöscht",
  "visits.empty": "Alle löschen",
  "visits.empty.ask.one": "{count} Besuch endgültig löschen?",
  "visits.empty.ask.other": "Alle {count} Besuche endgültig löschen?",
  "visits.empty.yes": "Alle {count} löschen",
  "visits.empty.done": "Alle Besuche gelöscht",
  "visits.keep": "Behalten",
  "visits.error.0": "Die Türklingel antwortet nicht. Verbindung prüfen, noch einmal versuchen.",
  "visits.error.403": "Dieses Gerät darf das nicht.",
  "visits.error.404": "Diesen Besuch gibt es nicht mehr.",
  "visits.error.503": "Die Türklingel ist beschäftigt, oder ihr Speicher fehlt. Noch einmal versuchen.",
  "visits.error.other": "Die Türklingel antwortet mit Fehler {status}.",

  "zones.title": "Bereiche ignorieren",
  "zones.about": "Bewegung in diesen Teilen des Bildes zählt nicht: eine Straße, ein Baum.",
  "zones.draw": "Über das Bild ziehen: neuer Bereich. Einen Bereich ziehen: verschieben.",
  "zones.keys": "Tasten: Pfeile verschieben, mit Umschalt ändern die Größe, Entf entfernt.",
  "zones.add": "Bereich hinzufügen",
  "zones.remove": "Entfernen",
  "zones.zone": "Bereich {number}: links {left} %, oben {top} %, {width} × {height} %",
  "zones.many.one": "Nicht mehr als {count} Bereich.",
  "zones.many.other": "Nicht mehr als {count} Bereiche.",
  "zones.line": "Zeile für die Konfiguration",
  "zones.copy": "Kopieren",
  "zones.copied": "Kopiert",
  "zones.where": "Unter [visits] in /etc/doorbelld/doorbelld.conf eintragen, dann ausführen.",
  "zones.picture": "Bild der Kamera",
  "zones.blind": "Gerade gibt es kein Bild. Bereiche lassen sich trotzdem zeichnen.",
};

const tables = { en, de };

// The first language of the browser that there is a table for. Dates follow the country too:
// en-GB and en-US have the same sentences, and not the same clock. ?lang=de is for trying.
const asked = new URLSearchParams(location.search).get("lang");
const wanted = (asked ? [asked] : []).concat(navigator.languages || []);
const languageOf = (tag) => tag.split(/[-_@]/)[0].toLowerCase();
const first = wanted.find((tag) => Object.keys(tables).includes(languageOf(tag))) || "en";

export const language = languageOf(first);
document.documentElement.lang = language;

const table = Object.assign(Object.create(null), en, tables[language]);
// Safari of 2018 has no Intl.PluralRules; most languages there is a table for count like this.
const plurals = Intl.PluralRules
  ? new Intl.PluralRules(language)
  : { select: (count) => (count === 1 ? "one" : "other") };

// Whether there is a sentence: a newer daemon may have codes that this page has not learnt yet.
export function knows(key) {
  return key in table;
}

// The sentence with this key. {names} in it stand for `values`, and {count} also decides which of
// its plurals is taken. It is text, never HTML: put it into textContent.
export function say(key, values = {}) {
  const plural = `${key}.${plurals.select(values.count)}`;
  const some = knows(`${key}.other`) && "count" in values;
  const text = table[some && knows(plural) ? plural : some ? `${key}.other` : key] || key;
  return text.replace(/{(\w+)}/g, (whole, name) => (name in values ? `${values[name]}` : whole));
}

// Puts the sentences into the elements of the HTML that name their keys: data-say for the text,
// data-say-title and data-say-label for the attributes title and aria-label.
export function translate(root = document) {
  for (const each of root.querySelectorAll("[data-say]")) {
    each.textContent = say(each.dataset.say);
  }
  for (const each of root.querySelectorAll("[data-say-title]")) {
    each.title = say(each.dataset.sayTitle);
  }
  for (const each of root.querySelectorAll("[data-say-label]")) {
    each.setAttribute("aria-label", say(each.dataset.sayLabel));
  }
}

// Some browsers name languages in a form that Intl does not take, such as en-US@posix.
function understood(tag) {
  try {
    return Intl.getCanonicalLocales(tag)[0];
  } catch (error) {
    return language;
  }
}

const TIME = { hour: "numeric", minute: "2-digit" };
const DAY = Object.assign({ weekday: "short", day: "numeric", month: "short" }, TIME);
const YEAR = Object.assign({ day: "numeric", month: "short", year: "numeric" }, TIME);
const [time, weekday, year] = [TIME, DAY, YEAR]
  .map((form) => new Intl.DateTimeFormat(understood(first), form));

// "2:23 PM" stays on one line.
const whole = (text) => text.replace(/\s(?=[^\s\d]+$)/, "\u00a0");

// The time of day, with the date if that is not today, and with the year if it is another one.
export function clock(unixSeconds) {
  const then = new Date(unixSeconds * 1000);
  const now = new Date();
  if (then.toDateString() === now.toDateString()) return whole(time.format(then));
  return whole((then.getFullYear() === now.getFullYear() ? weekday : year).format(then));
}

const DATE = { weekday: "long", day: "numeric", month: "long" };
const EXACT = Object.assign({ second: "2-digit" }, TIME);
const [date, dateOfYear, exact] = [DATE, Object.assign({ year: "numeric" }, DATE), EXACT]
  .map((form) => new Intl.DateTimeFormat(understood(first), form));

// The date, with the year if that is another one; of the last two days it is the given word.
export function dateOf(unixSeconds, today, yesterday) {
  const then = new Date(unixSeconds * 1000);
  const now = new Date();
  if (then.toDateString() === now.toDateString()) return today;
  now.setDate(now.getDate() - 1);
  if (then.toDateString() === now.toDateString()) return yesterday;
  return (then.getFullYear() === new Date().getFullYear() ? date : dateOfYear).format(then);
}

export const timeOfDay = (unixSeconds) => whole(time.format(new Date(unixSeconds * 1000)));
export const exactTime = (unixSeconds) => whole(exact.format(new Date(unixSeconds * 1000)));

// A number with so many decimal places, as the language writes it.
export function decimal(value, places) {
  const form = { minimumFractionDigits: places, maximumFractionDigits: places };
  return new Intl.NumberFormat(understood(first), form).format(value);
}
