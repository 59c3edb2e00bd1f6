"""Words that a full stop follows without ending a sentence, for the sentence splitter.

By ISO 639-3 code, without the stop, casefolded. `BEFORE_NAMES` are followed by a capital in the
middle of a sentence ("Dr. Ada"), `BEFORE_NUMBERS` count only before a digit ("No. 7"). What a small
letter follows needs no entry, nor do single letters and words with stops inside ("z. B.", "e.g.").
Small on purpose: a word missed costs a sentence cut in two, a word too many two sentences
translated as one.
"""

import re

_NAMES_EVERYWHERE = "dr prof mr mrs ms st vs cf ca"
_NUMBERS_EVERYWHERE = "no nr fig vol p pp tel ed"

_BEFORE_NAMES = """
ces: p pí pan mgr ing bc mudr judr rndr phdr doc sv resp tzv např tj ul nám gen plk
dan: hr fr frk jf f.eks inkl ekskl vedr sct
deu: hr fr frl bzw ca evtl ggf inkl exkl zzgl hrsg ing dipl sog str vgl geb gest phil med jur mag
ell: κ κα δρ καθ βλ αγ
eng: gen col lt sgt capt cmdr adm rev hon pres gov sen rep messrs mme mlle mt ft al viz bros approx
fin: esim mm tri prof ks vrt ns nk os
fra: m mm mme mlle mmes mgr me pr ste cie env av bd
hrv: g gđa mr sv tj npr tzv ul
hun: pl ifj özv id ún vö szt
ind: tn ny sdr sdri drs ir hlm jl
isl: hr fr sbr
ita: sig sigg dott avv ing arch geom on sen gen col cap ecc
nld: dhr mevr mw mej drs ir ing ds bijv incl jl resp zgn vgl
nob: hr fr jf inkl ekskl dvs mht sst
pol: p ul al pl os ks bp św gen płk mjr kpt por mgr inż hab np tzn tj tzw red
por: sr sra srs sras srta dra drs profa eng arq adv exmo exma av pça
ron: d dl dna dra ing str bd sf gen
rus: г гг гр др зам им кв наб напр о обл оз пер пл пос пр просп проф р св см ср ст стр т тов ул акад
slk: p pán mgr ing bc mudr judr doc sv resp tzv napr tj ul
slv: g ga gdč mag sv npr oz t.i ul
spa: sr sra srs sras srta srtas d da dña dra drs dras ee ud uds vd vds profa ing lic arq av avda
srp: г гђа др мр проф св тј нпр тзв ул g mr sv tj npr tzv ul
swe: hr fr jfr inkl exkl fröken dvs sankt
tur: doç yrd av sn ör örn bkz cad sok mah apt alm ing
ukr: р рр ст стор вул пл обл м с см гр проф акад доц ім напр т просп
"""

_BEFORE_NUMBERS = """
ces: č čl str odst kap tab roč
dan: bl kl kr nr s
deu: abs art aufl bd jh jhd kap max min s tab jan feb aug sept okt nov dez
ell: αρ σελ τηλ
eng: nos sec chap art jan feb mar apr jun jul aug sep sept oct nov dec
fin: s n klo v
fra: art chap env n janv févr juil sept oct nov déc
hrv: br str čl god
hun: sz old u kb jan febr márc ápr jún júl aug szept okt nov dec
ind: hal
isl: bls kl kr
ita: art pag pagg n cap tel
nld: blz art nr jan feb mrt apr aug sept okt nov dec
nob: kl kr nr s
pol: art nr poz r str s godz ust
por: art cap n pág págs jan fev mar abr jun jul ago set out nov dez
ron: art al pag nr
rus: гл п рис с стр табл тел № янв фев апр авг сент окт нояб дек
slk: č čl str odst
slv: št str čl
spa: art cap n núm pág págs
srp: бр стр чл br str čl
swe: kap kl kr s
tur: s
ukr: п рис с табл тел
"""

# "am 3. Mai": a short number with a stop is an ordinal
_ORDINALS = """
bos ces dan deu est eus fao fin gsw hrv hsb hun isl lav lim ltz mkd nno nob nor pol slk slv srp tur
"""


_ORDINAL_RANGE = re.compile(r"\d{1,2}(?:\.[-–—/]\d{1,2})*")


def _read(table: str, everywhere: str) -> dict[str, frozenset[str]]:
    rows = (line.split(":") for line in table.split("\n") if line)
    return {code: frozenset(f"{words} {everywhere}".split()) for code, words in rows}


BEFORE_NAMES = _read(_BEFORE_NAMES, _NAMES_EVERYWHERE)
BEFORE_NUMBERS = _read(_BEFORE_NUMBERS, _NUMBERS_EVERYWHERE)
ORDINALS = frozenset(_ORDINALS.split())


def is_abbreviation(word: str, before_number: bool, language: str) -> bool:
    """Whether a stop after `word` belongs to it; `language` is as "deu_Latn", or unknown."""
    names = BEFORE_NAMES.get(language[:3], frozenset(_NAMES_EVERYWHERE.split()))
    numbers = BEFORE_NUMBERS.get(language[:3], frozenset(_NUMBERS_EVERYWHERE.split()))
    folded = word.casefold()
    return folded in names or (before_number and folded in numbers)


def is_ordinal(word: str, language: str) -> bool:
    """Whether "3." is "third" there; also at the end of a range ("10.-30.", "3./4.")."""
    return language[:3] in ORDINALS and _ORDINAL_RANGE.fullmatch(word) is not None
