"""Events in the shapes that are common in the field, made from their published formats.

Each shape is a function of a random generator and a time in ms; it returns (value, headers) of an
event that its users would call valid.
"""

import base64
import datetime
import gzip
import json
import uuid


def _iso(time_ms, digits=3, zone="Z"):
    moment = datetime.datetime.fromtimestamp(time_ms / 1000, datetime.timezone.utc)
    fraction = f"{moment.microsecond:06}"[:digits]
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + (f".{fraction}" if digits else "") + zone


def _dump(document, rng):
    return json.dumps(document, separators=rng.choice([(",", ":"), (", ", ": ")]),
                      ensure_ascii=rng.random() < 0.5).encode()


def _id(rng):
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def _user(rng):
    return f"user-{rng.randrange(500)}"


def flat(rng, time_ms):
    """A flat event with other names and milliseconds."""
    return _dump({"userId": _user(rng), "deviceType": rng.choice(["ios", "android", "web"]),
                  "locale": rng.choice(["en-US", "de-DE", "pt-BR"]), "ts": time_ms,
                  "durationMs": rng.randrange(10000), "app": {"build": rng.randrange(9999)}}, rng), []


def nested(rng, time_ms):
    """Everything within objects; the time in seconds as a string; the locale is sometimes null."""
    return _dump({"meta": {"id": _id(rng), "occurred_at": str(time_ms // 1000), "version": 3},
                  "actor": {"user": {"id": rng.randrange(10**9)}},
                  "context": {"device": {"type": rng.choice(["tv", "phone"]), "os": "x"},
                              "locale": rng.choice(["en", "fr", None, ""])},
                  "tags": [rng.choice("abc"), 1, None]}, rng), []


def segment(rng, time_ms):
    """Segment's spec, common fields: https://segment.com/docs/connections/spec/common/"""
    context = {"active": True, "ip": "8.8.8.8",
               "app": {"name": "InitechGlobal", "version": "545", "build": "3.0.1.545"},
               "campaign": {"name": "TPS Innovation Newsletter", "medium": "email"},
               "library": {"name": "analytics.js", "version": "2.11.1"},
               "locale": rng.choice(["en-US", "nl-NL"]),
               "location": {"city": "San Francisco", "latitude": 40.2964197, "speed": 0},
               "network": {"bluetooth": False, "carrier": "T-Mobile US", "cellular": True},
               "os": {"name": "iPhone OS", "version": "8.1.3"},
               "screen": {"width": 320, "height": 568, "density": 2},
               "timezone": "Europe/Amsterdam",
               "userAgent": "Mozilla/5.0 (iPhone; CPU iPhone OS 9_1 like Mac OS X)"}
    if rng.random() < 0.7:
        context["device"] = {"id": _id(rng), "advertisingId": _id(rng), "manufacturer": "Apple",
                             "model": "iPhone7,2", "name": "maguro",
                             "type": rng.choice(["ios", "android"])}
    event = {"anonymousId": _id(rng), "channel": "browser", "context": context,
             "event": "Signed In", "integrations": {"All": True, "Mixpanel": False},
             "messageId": f"ajs-next-{_id(rng)}", "properties": {"method": "sso"},
             "originalTimestamp": _iso(time_ms - 5), "receivedAt": _iso(time_ms + 400),
             "sentAt": _iso(time_ms + 300), "timestamp": _iso(time_ms), "type": "track",
             "userId": rng.choice([_user(rng), None]), "version": "1.1"}
    return _dump(event, rng), []


def cloudevents_structured(rng, time_ms):
    """CloudEvents 1.0, Kafka protocol binding, structured content mode."""
    event = {"specversion": "1.0", "id": _id(rng), "source": "/login/web",
             "type": "com.example.login", "datacontenttype": "application/json",
             "time": _iso(time_ms, rng.choice([0, 3, 6]), rng.choice(["Z", "+00:00"])),
             "subject": _user(rng),
             "data": {"user": _user(rng), "device_type": rng.choice(["ios", "web"]), "locale": "en",
                      "n": 1}}
    return _dump(event, rng), [("content-type", b"application/cloudevents+json; charset=UTF-8")]


def cloudevents_binary(rng, time_ms):
    """CloudEvents 1.0, Kafka protocol binding, binary content mode: attributes are headers."""
    return _dump({"device_type": rng.choice(["ios", "web"]), "locale": "en"}, rng), [
        ("ce_specversion", b"1.0"), ("ce_type", b"com.example.login"), ("ce_source", b"/login/web"),
        ("ce_id", _id(rng).encode()), ("ce_time", _iso(time_ms).encode()),
        ("content-type", b"application/json")]


def debezium(rng, time_ms):
    """Debezium's change event of a row, with the schema of its JSON converter."""
    row = {"id": rng.randrange(10**6), "user_id": rng.randrange(10**4),
           "device_type": rng.choice(["ios", "web"]), "locale": rng.choice(["en", "it"]),
           "logged_in_at": time_ms * 1000}
    operation = rng.choice("crcu")
    fields = [{"type": "int64", "optional": False, "field": name} for name in row]
    return _dump({
        "schema": {"type": "struct", "optional": False, "name": "server1.inventory.logins.Envelope",
                   "version": 1, "fields": [
                       {"type": "struct", "fields": fields, "optional": True, "field": "before"},
                       {"type": "struct", "fields": fields, "optional": True, "field": "after"}]},
        "payload": {"before": row if operation == "u" else None, "after": row,
                    "source": {"version": "2.7.0.Final", "connector": "mysql", "name": "server1",
                               "ts_ms": time_ms - 20, "ts_us": time_ms * 1000 - 20000,
                               "snapshot": "false", "db": "inventory", "table": "logins",
                               "server_id": 223344, "file": "mysql-bin.000003", "pos": 484},
                    "op": operation, "ts_ms": time_ms, "ts_us": time_ms * 1000,
                    "ts_ns": time_ms * 10**6, "transaction": None}}, rng), []


def ga4(rng, time_ms):
    """A row of Google Analytics 4's export: numbers beyond 32 bits are strings there."""
    return _dump({
        "event_date": _iso(time_ms)[:10].replace("-", ""),
        "event_timestamp": str(time_ms * 1000), "event_name": "login",
        "event_previous_timestamp": str((time_ms - 10**10) * 1000),
        "event_params": [{"key": "ga_session_id", "value": {"int_value": str(time_ms // 1000)}},
                         {"key": "method", "value": {"string_value": "Google"}}],
        "user_id": rng.choice([_user(rng), None]),
        "user_pseudo_id": f"{rng.randrange(10**9)}.{rng.randrange(10**9)}",
        "user_first_touch_timestamp": str((time_ms - 7 * 10**10) * 1000),
        "device": {"category": rng.choice(["mobile", "desktop", "tablet"]),
                   "mobile_brand_name": "Google", "operating_system": "Android",
                   "language": rng.choice(["en-us", "de-de"]), "is_limited_ad_tracking": "No",
                   "web_info": {"browser": "Chrome"}},
        "geo": {"continent": "Europe", "country": "Germany", "city": "Berlin"},
        "platform": "WEB", "stream_id": "1234567890", "items": []}, rng), []


def snowplow(rng, time_ms):
    """Snowplow's enriched event as its SDKs write it in JSON."""
    return _dump({
        "app_id": "angry-birds", "platform": "web", "etl_tstamp": _iso(time_ms + 900),
        "collector_tstamp": _iso(time_ms + 200), "dvce_created_tstamp": _iso(time_ms),
        "event": "unstruct", "event_id": _id(rng), "txn_id": 41828,
        "name_tracker": "cloudfront-1", "v_tracker": "js-2.1.0", "user_id": _user(rng),
        "user_ipaddress": "92.231.54.234", "domain_userid": "bc2e92ec6c204a14",
        "domain_sessionidx": 3, "geo_country": "DE", "geo_latitude": 37.443604, "br_name": "Chrome",
        "br_lang": rng.choice(["en-US", "fr-FR"]), "br_features_pdf": True, "os_name": "Android",
        "dvce_type": rng.choice(["Mobile", "Computer"]), "dvce_ismobile": True,
        "contexts_org_schema_web_page_1": [{"genre": "blog", "inLanguage": "en-US"}],
        "unstruct_event_com_example_login_1": {"targetUrl": "http://www.example.com"}}, rng), []


def several(rng, time_ms):
    """Several events in one record: as lines, or as an array."""
    events = [_dump({"device_type": "ios", "locale": "en", "timestamp": time_ms // 1000}, rng)
              for _ in range(3)]
    return rng.choice([b"\n".join(events), b"[" + b",".join(events) + b"]"]), []


def gzipped(rng, time_ms):
    """An event that its producer has compressed itself."""
    return gzip.compress(_dump({"device_type": "ios", "locale": "en",
                                "timestamp": time_ms // 1000}, rng)), []


def framed(rng, time_ms):
    """A schema registry's frame before an event, with numbers and booleans as dimensions."""
    return b"\0" + rng.randrange(1, 2**31).to_bytes(4, "big") + _dump(
        {"device_type": rng.choice([1, 2, 3]), "locale": rng.choice([True, False]),
         "timestamp": time_ms, "blob": base64.b64encode(rng.randbytes(12)).decode()}, rng), []


#: Those that some settings accept; the others hold what rollcall does not read.
ACCEPTED = (flat, nested, segment, cloudevents_structured, cloudevents_binary, debezium, ga4,
            snowplow, framed)
HOPELESS = (several, gzipped)
