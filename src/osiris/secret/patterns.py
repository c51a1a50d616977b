"""The forms of tokens that are known by sight: kind, texts of which one must occur, and the pattern.

A pattern asks for the least length and no more, so that no text makes the search slow.
"""

from __future__ import annotations

_TAIL = r"(?![A-Za-z0-9])"

TOKENS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("a private key", ("PRIVATE KEY",), r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----"),
    ("an AWS access key", ("AKIA", "ASIA", "ABIA", "ACCA"), r"\b(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\b"),
    ("an AWS session signature", ("X-Amz-Signature",), r"X-Amz-Signature=[0-9a-f]{32}"),
    ("an Azure storage key", ("AccountKey=",), r"AccountKey=[A-Za-z0-9+/]{20}"),
    ("an Azure shared access signature", ("sig=",), r"[?&]sig=[A-Za-z0-9%+/]{20}"),
    ("a GitHub token", ("gh", "github_pat_"), r"\bgh[pousr]_[A-Za-z0-9]{36}|\bgithub_pat_[A-Za-z0-9_]{22}"),
    ("a GitLab token", ("gl",), r"\bgl(?:pat|dt|rt|cbt|ptt|oas|soat|imt|agent|ft)-[A-Za-z0-9_-]{20}"),
    (
        "a Slack token",
        ("xox", "xapp-"),
        r"\bxox[abeoprs](?:\.xox[bp])?-[A-Za-z0-9-]{10}|\bxapp-[0-9]-[A-Za-z0-9-]{10}",
    ),
    ("a Slack webhook", ("hooks.slack.com",), r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/]{20}"),
    ("a Discord webhook", ("/api/webhooks/",), r"discord(?:app)?\.com/api/webhooks/[0-9]+/[A-Za-z0-9_-]{20}"),
    ("a Teams webhook", ("webhook.office.com",), r"webhook\.office\.com/webhookb2/[^\s'\"]{30}"),
    ("a JSON Web Token", ("eyJ",), r"(?<![\w-])eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\."),
    (
        "a Stripe key",
        ("k_live_", "k_test_", "whsec_"),
        r"\b[sr]k_(?:live|test)_[A-Za-z0-9]{10}|\bwhsec_[A-Za-z0-9+/=]{20}",
    ),
    ("a Google API key", ("AIza",), r"\bAIza[0-9A-Za-z_-]{35}"),
    ("a Google OAuth secret", ("GOCSPX-", "ya29."), r"\bGOCSPX-[A-Za-z0-9_-]{20}|\bya29\.[A-Za-z0-9_-]{20}"),
    ("an Anthropic key", ("sk-ant-",), r"\bsk-ant-[A-Za-z0-9_-]{20}"),
    ("an OpenAI key", ("sk-",), r"\bsk-(?:proj-|svcacct-|admin-|None-)?[A-Za-z0-9_-]{20}"),
    ("a Hugging Face token", ("hf_",), r"\bhf_[A-Za-z0-9]{30}"),
    ("a Groq key", ("gsk_",), r"\bgsk_[A-Za-z0-9]{40}"),
    ("an xAI key", ("xai-",), r"\bxai-[A-Za-z0-9]{40}"),
    ("a Perplexity key", ("pplx-",), r"\bpplx-[A-Za-z0-9]{40}"),
    ("a Replicate token", ("r8_",), r"\br8_[A-Za-z0-9]{30}"),
    ("an E2B key", ("e2b_",), r"\be2b_[0-9a-f]{32}"),
    ("an npm token", ("npm_",), r"\bnpm_[A-Za-z0-9]{36}"),
    ("a PyPI token", ("pypi-",), r"\bpypi-AgE[A-Za-z0-9_-]{40}"),
    ("a SendGrid key", ("SG.",), r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16}"),
    ("a Twilio key", ("SK",), r"\bSK[0-9a-f]{32}" + _TAIL),
    ("a Mailgun key", ("key-",), r"\bkey-[0-9a-f]{32}" + _TAIL),
    ("a Mailchimp key", ("-us",), r"\b[0-9a-f]{32}-us[0-9]{1,2}\b"),
    ("a DigitalOcean token", ("do",), r"\bdo[opr]_v1_[0-9a-f]{60}"),
    ("a Databricks token", ("dapi",), r"\bdapi[0-9a-f]{32}"),
    ("a Supabase key", ("sbp_", "sb_secret_"), r"\bsbp_[0-9a-f]{40}|\bsb_secret_[A-Za-z0-9_-]{16}"),
    ("a Shopify token", ("shp",), r"\bshp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}"),
    ("a Square token", ("sq0", "EAAA"), r"\bsq0(?:atp|csp|idp)-[A-Za-z0-9_-]{22}|\bEAAA[A-Za-z0-9_-]{60}"),
    ("a Telegram bot token", (":AA",), r"\b[0-9]{8,10}:AA[A-Za-z0-9_-]{33}"),
    ("a Vault token", ("hvs.", "hvb."), r"\bhv[sb]\.[A-Za-z0-9_-]{24}"),
    ("a Doppler token", ("dp.",), r"\bdp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9_.-]{40}"),
    ("a Linear key", ("lin_",), r"\blin_(?:api|oauth)_[A-Za-z0-9]{32}"),
    ("a Notion token", ("ntn_", "secret_"), r"\bntn_[A-Za-z0-9]{40}|\bsecret_[A-Za-z0-9]{43}" + _TAIL),
    ("an Airtable token", ("pat",), r"\bpat[A-Za-z0-9]{14}\.[0-9a-f]{64}"),
    ("an Atlassian token", ("ATATT3", "ATCTT3"), r"\bAT[AC]TT3[A-Za-z0-9_=-]{50}"),
    ("a Postman key", ("PMAK-",), r"\bPMAK-[0-9a-f]{24}-[0-9a-f]{34}"),
    ("a New Relic key", ("NRAK-",), r"\bNRAK-[A-Z0-9]{27}"),
    ("a Grafana token", ("gl",), r"\bgl(?:sa|c)_[A-Za-z0-9+/_=]{30}"),
    ("a PlanetScale password", ("pscale_",), r"\bpscale_(?:pw|tkn|oauth)_[A-Za-z0-9_.-]{30}"),
    ("a PostHog key", ("phx_",), r"\bphx_[A-Za-z0-9]{30}"),
    ("a Fly token", ("FlyV1",), r"\bFlyV1 fm[12]_[A-Za-z0-9+/=,_-]{40}"),
    ("a Facebook token", ("EAA",), r"\bEAA[A-Za-z0-9]{80}"),
    ("an age key", ("AGE-SECRET-KEY-1",), r"AGE-SECRET-KEY-1[0-9A-Z]{50}"),
)
