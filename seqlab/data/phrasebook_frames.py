"""What the phrasebook says: sentence frames, date patterns, and which countries, languages and currencies fill them.

A plain table, in English, German, French and Spanish. Each frame must stay natural whatever fills its slots, so country
names stand where no article or preposition governs them, quantities are 2 or more, and numbers that a noun would bend
("veintiún libros") are written in digits. What one language shows, all four show: nothing is left to a choice.
"""

from typing import NamedTuple


class Frame(NamedTuple):
    """One sentence with holes, in every language. `slots` names the entries of the generator's slots that fill them."""

    slots: tuple[str, ...]
    en: str
    de: str
    fr: str
    es: str


FRAMES: tuple[Frame, ...] = (
    Frame(
        slots=("past_day", "language"),
        en="My aunt, who speaks {language}, was born on {day}.",
        de="Meine Tante, die {language} spricht, wurde am {day}, geboren.",
        fr="Ma tante, qui parle {language}, est née le {day}.",
        es="Mi tía, que habla {language}, nació el {day}.",
    ),
    Frame(
        slots=("coming_day", "time"),
        en="The next meeting will take place on {day}, at {time}.",
        de="Die nächste Sitzung findet am {day}, um {time} Uhr statt.",
        fr="La prochaine réunion aura lieu le {day} à {time}.",
        es="La próxima reunión tendrá lugar el {day} a las {time}.",
    ),
    Frame(
        slots=("coming_day", "time"),
        en="Do you know whether the concert starts at {time} on {day}?",
        de="Weißt du, ob das Konzert am {day}, um {time} Uhr beginnt?",
        fr="Sais-tu si le concert commence le {day} à {time} ?",
        es="¿Sabes si el concierto empieza el {day} a las {time}?",
    ),
    Frame(
        slots=("time", "wait"),
        en="Because the train did not leave until {time}, we had to wait {wait}.",
        de="Weil der Zug erst um {time} Uhr abfuhr, mussten wir {wait} warten.",
        fr="Comme le train n'est parti qu'à {time}, nous avons dû attendre {wait}.",
        es="Como el tren no salió hasta las {time}, tuvimos que esperar {wait}.",
    ),
    Frame(
        slots=("time", "temperature"),
        en="The thermometer read {temperature} at {time}.",
        de="Um {time} Uhr zeigte das Thermometer {temperature} an.",
        fr="À {time}, le thermomètre affichait {temperature}.",
        es="A las {time}, el termómetro marcaba {temperature}.",
    ),
    Frame(
        slots=("inhabitants", "distance"),
        en="The village has {inhabitants} inhabitants and lies {distance} from the sea.",
        de="Das Dorf hat {inhabitants} Einwohner und liegt {distance} vom Meer entfernt.",
        fr="Le village compte {inhabitants} habitants et se trouve à {distance} de la mer.",
        es="El pueblo tiene {inhabitants} habitantes y está a {distance} del mar.",
    ),
    Frame(
        slots=("weight", "past_day"),
        en="The parcel weighed {weight} and was sent on {day}.",
        de="Das Paket wog {weight} und wurde am {day}, verschickt.",
        fr="Le colis pesait {weight} et a été expédié le {day}.",
        es="El paquete pesaba {weight} y se envió el {day}.",
    ),
    Frame(
        slots=("two_countries",),
        en="Country of origin: {country}, country of destination: {other_country}.",
        de="Herkunftsland: {country}, Bestimmungsland: {other_country}.",
        fr="Pays d'origine : {country}, pays de destination : {other_country}.",
        es="País de origen: {country}, país de destino: {other_country}.",
    ),
    Frame(
        slots=("country", "past_date"),
        en="Country of birth: {country}, date of birth: {date}.",
        de="Geburtsland: {country}, Geburtsdatum: {date}.",
        fr="Pays de naissance : {country}, date de naissance : {date}.",
        es="País de nacimiento: {country}, fecha de nacimiento: {date}.",
    ),
    Frame(
        slots=("postage", "country"),
        en="He paid {postage} and wrote on the envelope: {country}.",
        de="Er bezahlte {postage} und schrieb auf den Umschlag: {country}.",
        fr="Il a payé {postage} et a écrit sur l'enveloppe : {country}.",
        es="Pagó {postage} y escribió en el sobre: {country}.",
    ),
    Frame(
        slots=("two_languages",),
        en="My sister speaks {language}, but not {other_language}.",
        de="Meine Schwester spricht {language}, aber kein {other_language}.",
        fr="Ma sœur parle {language}, mais pas {other_language}.",
        es="Mi hermana habla {language}, pero no {other_language}.",
    ),
    Frame(
        slots=("language", "age"),
        en="My grandfather learned to speak {language} when he was {age} years old.",
        de="Mein Großvater lernte {language} sprechen, als er {age} Jahre alt war.",
        fr="Mon grand-père a appris à parler {language} quand il avait {age} ans.",
        es="Mi abuelo aprendió a hablar {language} cuando tenía {age} años.",
    ),
    Frame(
        slots=("percent", "language"),
        en="Only {percent} of the guests speak {language}.",
        de="Nur {percent} der Gäste sprechen {language}.",
        fr="Seuls {percent} des invités parlent {language}.",
        es="Solo el {percent} de los invitados habla {language}.",
    ),
    Frame(
        slots=("number", "other_number"),
        en="How much is {number} plus {other_number}?",
        de="Wie viel ist {number} plus {other_number}?",
        fr="Combien font {number} plus {other_number} ?",
        es="¿Cuánto es {number} más {other_number}?",
    ),
    Frame(
        slots=("coming_date", "fee"),
        en="If you pay before {date}, the course costs only {fee}.",
        de="Wenn Sie vor dem {date} bezahlen, kostet der Kurs nur {fee}.",
        fr="Si vous payez avant le {date}, le cours ne coûte que {fee}.",
        es="Si paga antes del {date}, el curso solo cuesta {fee}.",
    ),
    Frame(
        slots=("bill",),
        en="The bill came to {price}, but we only had {cash} with us.",
        de="Die Rechnung betrug {price}, aber wir hatten nur {cash} dabei.",
        fr="L'addition s'élevait à {price}, mais nous n'avions que {cash} sur nous.",
        es="La cuenta ascendía a {price}, pero solo llevábamos {cash} encima.",
    ),
)

# CLDR date patterns as they read inside a sentence: "am Dienstag, dem 4. März", "el martes 4 de marzo".
DAY = {"en": "EEEE, MMMM d, y", "de": "EEEE, 'dem' d. MMMM y", "fr": "EEEE d MMMM y", "es": "EEEE d 'de' MMMM 'de' y"}
DATE = {"en": "MMMM d, y", "de": "d. MMMM y", "fr": "d MMMM y", "es": "d 'de' MMMM 'de' y"}
TIME = {"en": "h:mm a", "de": "HH:mm", "fr": "H 'h' mm", "es": "H:mm"}

# Currencies whose CLDR symbols, and those whose CLDR names, read well inside a sentence in all four languages.
SYMBOL_CURRENCIES = ("EUR", "USD")
NAMED_CURRENCIES = ("EUR", "USD", "CHF")

# ISO 3166 codes, in one text, of states whose names need no "&", brackets or dash in any of the four languages.
COUNTRIES = """
AD AE AF AL AM AO AR AT AU AZ BB BD BE BF BG BH BI BJ BN BO BR BS BT BW BY BZ CA CF CH CI CL CM CN CO CR CU CV CY CZ
DE DJ DK DM DO DZ EC EE EG ER ES ET FI FJ FM FR GA GB GD GE GH GM GN GQ GR GT GW GY HN HR HT HU ID IE IL IN IQ IR IS
IT JM JO JP KE KG KH KI KM KP KR KW KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MG MH MK ML MN MR MT MU MV MW MX
MY MZ NA NE NG NI NL NO NP NR NZ OM PA PE PG PH PK PL PT PW PY QA RO RS RU RW SA SB SC SD SE SG SI SK SL SM SN SO SR
SS SV SY SZ TD TG TH TJ TL TM TN TO TR TV TZ UA UG US UY UZ VE VN VU WS YE ZA ZM ZW
"""

# ISO 639 codes, in one text, of languages that one can be said to speak, by the same rule.
SPOKEN = """
af ak am ar as ay az ba be bg bi bm bn bo br bs ca ce co cs cv cy da de el en eo es et eu fa fi fo fr fy ga gl gn gu
ha he hi hr ht hu hy id ig is it iu ja jv ka ki kk kl km kn ko ku ky la lb ln lo lt lv mg mi mk ml mn mr ms mt my ne
nl no nv oc pa pl ps pt qu rm ro ru rw sc sd si sk sl sm sn so sq sr su sv sw ta te tg th ti tk tl tn tr ts tt ug uk
ur uz vi wa wo xh yi yo zh zu
"""
