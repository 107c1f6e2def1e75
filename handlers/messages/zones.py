"""Which time zone a person lives in, by country and region; None where that cannot be told."""

from functools import lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

# Countries with several zones: the zone most people live in, for regions that are not listed below. Those
# without such a zone (the United States, Canada, Australia, Brazil, Mexico, Russia, Indonesia) need a region.
_MAIN = {
    "AR": "America/Argentina/Buenos_Aires",
    "CD": "Africa/Kinshasa",
    "CL": "America/Santiago",
    "CN": "Asia/Shanghai",
    "CY": "Asia/Nicosia",
    "DE": "Europe/Berlin",
    "EC": "America/Guayaquil",
    "ES": "Europe/Madrid",
    "FM": "Pacific/Pohnpei",
    "GL": "America/Nuuk",
    "KI": "Pacific/Tarawa",
    "KZ": "Asia/Almaty",
    "MH": "Pacific/Majuro",
    "MN": "Asia/Ulaanbaatar",
    "MY": "Asia/Kuala_Lumpur",
    "NZ": "Pacific/Auckland",
    "PF": "Pacific/Tahiti",
    "PG": "Pacific/Port_Moresby",
    "PS": "Asia/Gaza",
    "PT": "Europe/Lisbon",
    "UA": "Europe/Kyiv",
    "UZ": "Asia/Tashkent",
}

# ISO 3166-2 codes of regions, by country and zone. A region in two zones has the one most of its people use.
_REGIONS = {
    "US": {
        "America/New_York": "CT DC DE FL GA IN KY MA MD ME MI NC NH NJ NY OH PA RI SC VA VT WV",
        "America/Chicago": "AL AR IA IL KS LA MN MO MS ND NE OK SD TN TX WI",
        "America/Denver": "CO ID MT NM UT WY",
        "America/Phoenix": "AZ",
        "America/Los_Angeles": "CA NV OR WA",
        "America/Anchorage": "AK",
        "Pacific/Honolulu": "HI",
        "America/Puerto_Rico": "PR VI",
        "Pacific/Guam": "GU MP",
        "Pacific/Pago_Pago": "AS",
    },
    "CA": {
        "America/St_Johns": "NL",
        "America/Halifax": "NB NS PE",
        "America/Toronto": "ON QC",
        "America/Winnipeg": "MB",
        "America/Regina": "SK",
        "America/Edmonton": "AB NT",
        "America/Vancouver": "BC",
        "America/Whitehorse": "YT",
        "America/Iqaluit": "NU",
    },
    "AU": {
        "Australia/Sydney": "NSW ACT",
        "Australia/Melbourne": "VIC",
        "Australia/Hobart": "TAS",
        "Australia/Brisbane": "QLD",
        "Australia/Adelaide": "SA",
        "Australia/Darwin": "NT",
        "Australia/Perth": "WA",
    },
    "BR": {
        "America/Sao_Paulo": "SP RJ MG ES PR SC RS GO DF BA SE AL PE PB RN CE PI MA PA AP TO",
        "America/Manaus": "AM RO RR",
        "America/Cuiaba": "MT MS",
        "America/Rio_Branco": "AC",
    },
    "MX": {
        "America/Mexico_City": "AGS CAMP CDMX CHIS COAH COL DF DGO GTO GRO HGO JAL MEX MICH MOR NL OAX PUE QRO"
        " SLP TAB TAMPS TLAX VER YUC ZAC CHIH",
        "America/Cancun": "Q_ROO QROO",
        "America/Mazatlan": "BCS NAY SIN",
        "America/Hermosillo": "SON",
        "America/Tijuana": "BC",
    },
    "RU": {
        "Europe/Kaliningrad": "KGD",
        "Europe/Moscow": "MOW MOS SPE LEN AD ARK BEL BRY CHU CE DA IN IVA KB KC KDA KO KOS KRS KR KLU KIR LIP ME MO"
        " MUR NEN NIZ NGR ORL PNZ PSK ROS RYA SMO SE STA TA TAM TUL TVE VLA VLG VOR YAR VGG KL",
        "Europe/Samara": "SAM UD",
        "Europe/Saratov": "SAR AST ULY",
        "Asia/Yekaterinburg": "SVE BA CHE KGN ORE PER KHM YAN TYU",
        "Asia/Omsk": "OMS",
        "Asia/Krasnoyarsk": "KYA KEM NVS TOM ALT AL KK TY",
        "Asia/Irkutsk": "IRK BU",
        "Asia/Yakutsk": "SA AMU ZAB",
        "Asia/Vladivostok": "PRI KHA YEV",
        "Asia/Magadan": "MAG SAK",
        "Asia/Kamchatka": "KAM CHU-KOTKA",
    },
    "ID": {
        "Asia/Jakarta": "AC BB BE BT JA JB JI JK JT KB KT LA RI KR SB SS SU YO",
        "Asia/Makassar": "BA GO KI KS KU NB NT SA SG SN SR ST",
        "Asia/Jayapura": "MA MU PA PB PD PE PS PT",
    },
    "ES": {"Atlantic/Canary": "GC TF CN"},
    "PT": {"Atlantic/Azores": "PT-20", "Atlantic/Madeira": "PT-30"},
}
_BY_REGION = {
    (country, region): zone
    for country, zones in _REGIONS.items()
    for zone, regions in zones.items()
    for region in regions.split()
}


@lru_cache(maxsize=4096)
def zone_of(country: str | None, region: str | None) -> ZoneInfo | None:
    """Return the zone of an ISO 3166 country and region code, as platforms write them; None = cannot be told."""
    if not country:
        return None
    country = country.upper()
    code = (region or "").upper().replace(" ", "_").removeprefix(f"{country}-")
    name = _BY_REGION.get((country, code)) or _MAIN.get(country) or _single().get(country)
    return ZoneInfo(name) if name else None


@lru_cache(maxsize=512)
def zone(name: str) -> ZoneInfo:
    """Return a zone by name, or UTC where the name is none (a shop's zone was checked when it was set)."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")


@lru_cache(maxsize=1)
def _single() -> dict[str, str]:
    """Read from the time zone database which countries have one zone."""
    zones: dict[str, list[str]] = {}
    table = (files("tzdata") / "zoneinfo" / "zone.tab").read_text(encoding="utf-8")
    for line in table.splitlines():
        if line and not line.startswith("#"):
            country, _, name, *_ = line.split("\t")
            zones.setdefault(country, []).append(name)
    return {country: names[0] for country, names in zones.items() if len(names) == 1}
