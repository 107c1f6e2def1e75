"""URL → page: everything the web process answers, in one table.

Webhooks (`POST /webhooks/…`) stand before this table: see `handlers.inbox.pages.Receiver`, wired in `asgi.py`.
A page reads its context from `request.app.state.context`.
"""

from starlette.convertors import IntegerConvertor, register_url_convertor
from starlette.routing import BaseRoute, Route

from config import health, metrics
from handlers.account import desk as account_desk
from handlers.account import pages as account
from handlers.account.pages import by_link, by_proxy, by_session
from handlers.activity import pages as activity
from handlers.care import desk as care_desk
from handlers.care import pages as care
from handlers.connections import pages as connections
from handlers.exchange import pages as exchange
from handlers.insights import pages as insights
from handlers.liability import pages as liability
from handlers.merchants import assets, oauth
from handlers.merchants import pages as merchants
from handlers.merchants.door import opened
from handlers.messages import desk, editor
from handlers.messages import pages as messages
from handlers.privacy import pages as privacy
from handlers.programme import desk as programme_desk
from handlers.programme import pages as programme
from handlers.referrals import desk as referrals_desk
from handlers.referrals import pages as referrals
from handlers.reviews import pages as reviews
from handlers.rewards import desk as rewards


class _Number(IntegerConvertor):
    """`{number:int}` in an address: as many digits as any number of ours has, so that every one can be read."""

    regex = "[0-9]{1,18}"


register_url_convertor("int", _Number())

# For whoever runs the program; METRICS_PORT answers these alone.
HEALTH: tuple[BaseRoute, ...] = (
    Route("/healthz", health.alive, name="alive"),
    Route("/readyz", health.ready, name="ready"),
    Route("/metrics", metrics.metrics, name="metrics"),
)

ROUTES: tuple[BaseRoute, ...] = (
    *HEALTH,
    # The merchant's pages in the shop admin: /app/…
    Route("/app", opened(insights.home_page), name="home"),
    Route("/app/programme", opened(programme.programme_page), name="programme"),
    Route("/app/programme", opened(programme.programme_posted), methods=["POST"]),
    Route("/app/programme/preview", opened(programme.preview_part), methods=["POST"]),
    Route("/app/programme/review/{draft}", opened(programme.review_page), name="programme-review"),
    Route("/app/programme/review/{draft}", opened(programme.review_posted), methods=["POST"]),
    Route("/app/programme/history", opened(programme.history_page), name="programme-history"),
    Route("/app/programme/restore/{version}", opened(programme.restore_page), name="programme-restore"),
    Route("/app/programme/restore/{version}", opened(programme.restore_posted), methods=["POST"]),
    Route("/app/programme/rewards", opened(programme_desk.kinds_page), name="reward-kinds"),
    Route("/app/programme/rewards/{reward}", opened(programme_desk.reward_page), name="reward"),
    Route("/app/programme/rewards/{reward}", opened(programme_desk.reward_posted), methods=["POST"]),
    Route("/app/programme/rewards/{reward}/preview", opened(programme_desk.reward_part), methods=["POST"]),
    Route("/app/programme/what-if", opened(programme.what_if_page), name="what-if"),
    Route("/app/liability", opened(liability.liability_page), name="liability"),
    Route("/app/liability/files/{token}", liability.liability_file),  # by a signed address
    Route("/app/messages", opened(desk.messages_page), name="messages"),
    Route("/app/messages/queue", opened(desk.queue_page), name="queue"),
    Route("/app/messages/undelivered", opened(desk.undelivered_page), name="undelivered"),
    Route("/app/messages/stop/{key}", opened(desk.stop_page), name="stop"),
    Route("/app/messages/stop/{key}", opened(desk.stop_now), methods=["POST"]),
    Route("/app/messages/pause", opened(desk.pause_page), name="pause"),
    Route("/app/messages/pause", opened(desk.pause_now), methods=["POST"]),
    Route("/app/messages/resume", opened(desk.resume_page), name="resume"),
    Route("/app/messages/resume", opened(desk.resume_now), methods=["POST"]),
    Route("/app/messages/words/{kind}", opened(editor.words_page), name="words"),
    Route("/app/messages/words/{kind}", opened(editor.save), methods=["POST"]),
    Route("/app/messages/words/{kind}/preview", opened(editor.show_typed), methods=["POST"]),
    Route("/app/messages/words/{kind}/test", opened(editor.try_out), methods=["POST"]),
    Route("/app/messages/words/{kind}/discard", opened(editor.discard), methods=["POST"]),
    Route("/app/messages/words/{kind}/reset", opened(editor.reset_page), name="reset"),
    Route("/app/messages/words/{kind}/reset", opened(editor.reset_now), methods=["POST"]),
    Route("/app/messages/letter/{token}", editor.letter_itself, name="letter"),  # by a signed address
    Route("/app/connections", opened(connections.connections_page), name="connections"),
    Route("/app/connections/stripe", opened(connections.stripe_page)),
    Route("/app/connections/stripe", opened(connections.stripe_connect, keeps=False), methods=["POST"]),
    Route("/app/connections/stripe/{connection:int}/repair", opened(connections.stripe_repair), methods=["POST"]),
    Route("/app/connections/stripe/{connection:int}/disconnect", opened(connections.disconnect_page)),
    Route("/app/connections/stripe/{connection:int}/disconnect", opened(connections.disconnect_now), methods=["POST"]),
    Route("/app/connections/domain", opened(connections.domain_page)),
    Route("/app/connections/data", opened(exchange.data_page), name="data"),
    Route(
        "/app/connections/data",
        opened(exchange.data_upload, most_bytes=exchange.FORM_BYTES, files=1),
        methods=["POST"],
    ),
    Route("/app/connections/data/{number:int}", opened(exchange.import_page)),
    Route("/app/connections/data/{number:int}", opened(exchange.import_act), methods=["POST"]),
    Route("/app/connections/data/{number:int}/undo", opened(exchange.undo_page)),
    Route("/app/connections/files/{token}", exchange.data_file),  # by a signed address
    Route("/app/customers", opened(care.customers_page), name="customers"),
    Route("/app/customers/letter/{token}", care.letter_itself, name="customer-letter"),  # by a signed address
    Route("/app/customers/file/{token}", care_desk.export_file, name="customer-file"),  # by a signed address
    Route("/app/customers/{number}", opened(care.customer_page), name="customer"),
    Route("/app/customers/{number}/export", opened(care_desk.export_page), name="customer-export"),
    Route("/app/customers/{number}/export", opened(care_desk.export_now), methods=["POST"]),
    Route("/app/customers/{number}/forget", opened(care_desk.forget_page), name="forget"),
    Route("/app/customers/{number}/forget", opened(care_desk.forget_now), methods=["POST"]),
    Route("/app/customers/{number}/adjust", opened(care_desk.adjust_page), name="adjust"),
    Route("/app/customers/{number}/adjust", opened(care_desk.adjust_now), methods=["POST"]),
    Route("/app/customers/{number}/forgive", opened(care_desk.forgive_page), name="forgive"),
    Route("/app/customers/{number}/forgive", opened(care_desk.forgive_now), methods=["POST"]),
    Route("/app/customers/{number}/hold", opened(care_desk.hold_page), name="hold"),
    Route("/app/customers/{number}/hold", opened(care_desk.hold_now), methods=["POST"]),
    Route("/app/customers/{number}/release", opened(care_desk.release_page), name="release"),
    Route("/app/customers/{number}/release", opened(care_desk.release_now), methods=["POST"]),
    Route("/app/customers/{number}/language", opened(care_desk.language_page), name="language"),
    Route("/app/customers/{number}/language", opened(care_desk.language_now), methods=["POST"]),
    Route("/app/activity", opened(activity.activity_page), name="activity"),
    Route("/app/activity/events/{number}", opened(activity.event_page), name="event"),
    Route("/app/activity/events/{number}/body", opened(activity.body_page), name="event-body"),
    Route("/app/activity/events/{number}/replay", opened(activity.replay_page), name="replay"),
    Route("/app/activity/events/{number}/replay", opened(activity.replay_now), methods=["POST"]),
    Route("/app/activity/replay", opened(activity.replay_all_page), name="replay-all"),
    Route("/app/activity/replay", opened(activity.replay_all_now), methods=["POST"]),
    Route("/app/activity/recovered", opened(activity.recovered_page), name="recovered"),
    Route("/app/activity/duplicates", opened(activity.duplicates_page), name="duplicates"),
    Route("/app/activity/changes", opened(activity.changes_page), name="changes"),
    Route("/app/activity/looks", opened(activity.looks_page), name="looks"),
    Route("/app/rewards", opened(rewards.rewards_page), name="rewards"),
    Route("/app/rewards/look", opened(rewards.look_again), methods=["POST"], name="look-at-rewards"),
    Route("/app/rewards/switched-off/{discount}", opened(rewards.give_back_page), name="switched-off"),
    Route("/app/rewards/switched-off/{discount}", opened(rewards.give_back), methods=["POST"]),
    Route("/app/rewards/{number}", opened(rewards.reward_page), name="taken"),
    Route("/app/rewards/{number}", opened(rewards.reward_act), methods=["POST"]),
    Route("/app/rewards/{number}/take-back", opened(rewards.take_back_page), name="take-back"),
    Route("/app/friends", opened(referrals_desk.friends_page), name="friends"),
    Route("/app/friends/{number}", opened(referrals_desk.friend_page), name="friend-of"),
    Route("/app/friends/{number}", opened(referrals_desk.friend_act), methods=["POST"]),
    Route("/app/requests", opened(privacy.requests_page), name="requests"),
    # How one gets there without Shopify, and what keeps one there.
    Route("/app/sign-in", merchants.sign_in_page, name="sign-in"),
    Route("/app/sign-in", merchants.sign_in_ask, methods=["POST"]),
    Route("/app/sign-in/{token}", merchants.link_page, name="link"),
    Route("/app/sign-in/{token}", merchants.link_use, methods=["POST"]),
    Route("/app/sign-out", opened(merchants.sign_out), methods=["POST"]),
    Route("/", merchants.front_page, name="front"),  # where Shopify's admin opens an app
    Route("/app/bounce", merchants.bounce_page, name="bounce"),
    Route("/app/install", oauth.install_page, name="install"),
    Route(oauth.BACK, oauth.install_back, name="install-back"),
    Route("/app/static/{name}", assets.static_file, name="static"),
    Route("/app/{rest:path}", opened(merchants.nothing_here)),  # last: every other page stands before it
    # The shop's app proxy, by Shopify's signed word: /proxy/…
    Route("/proxy", by_proxy(account.account_page), name="proxy"),
    Route("/proxy/", by_proxy(account.account_page)),
    Route("/proxy/history", by_proxy(account.history_page)),
    Route("/proxy/redeem", by_proxy(account_desk.redeem_page)),
    Route("/proxy/redeem", by_proxy(account_desk.redeem_now), methods=["POST"]),
    Route("/proxy/reward", by_proxy(account_desk.reward_page)),
    Route("/proxy/return", by_proxy(account_desk.return_page)),
    Route("/proxy/return", by_proxy(account_desk.return_now), methods=["POST"]),
    Route("/proxy/friends", by_proxy(account_desk.friends_now), methods=["POST"]),
    Route("/proxy/mails", by_proxy(account_desk.mails_now), methods=["POST"]),
    Route("/proxy/language", by_proxy(account_desk.language_now), methods=["POST"]),
    Route("/proxy/birthday", by_proxy(account_desk.birthday_now), methods=["POST"]),
    Route("/proxy/find", by_proxy(account.find_link), methods=["POST"]),
    Route("/proxy/mail", by_proxy(account.mail_link), methods=["POST"]),
    Route("/proxy/{rest:path}", by_proxy(account.nothing_here)),  # last of these
    # The customer's pages by signed link: /c/…
    Route("/c/me/{token}", by_link(account.account_page), name="me"),
    Route("/c/me/{token}/history", by_link(account.history_page)),
    Route("/c/me/{token}/mail", by_link(account.mail_link), methods=["POST"]),
    Route("/c/open/{token}", account.open_page, name="open"),
    Route("/c/open/{token}", account.open_now, methods=["POST"]),
    Route("/c/account", by_session(account.account_page), name="account"),
    Route("/c/account/history", by_session(account.history_page)),
    Route("/c/account/redeem", by_session(account_desk.redeem_page)),
    Route("/c/account/redeem", by_session(account_desk.redeem_now), methods=["POST"]),
    Route("/c/account/reward", by_session(account_desk.reward_page)),
    Route("/c/account/return", by_session(account_desk.return_page)),
    Route("/c/account/return", by_session(account_desk.return_now), methods=["POST"]),
    Route("/c/account/friends", by_session(account_desk.friends_now), methods=["POST"]),
    Route("/c/account/mails", by_session(account_desk.mails_now), methods=["POST"]),
    Route("/c/account/language", by_session(account_desk.language_now), methods=["POST"]),
    Route("/c/account/birthday", by_session(account_desk.birthday_now), methods=["POST"]),
    Route("/c/account/export", by_session(account_desk.export_now), methods=["POST"]),
    Route("/c/account/file", by_session(account_desk.export_file)),
    Route("/c/account/forget", by_session(account_desk.forget_page)),
    Route("/c/account/forget", by_session(account_desk.forget_now), methods=["POST"]),
    Route("/c/friend/{code}", referrals.friend_page, name="friend"),
    Route("/c/friend/{code}", referrals.friend_now, methods=["POST"]),
    Route("/c/welcome/{code}", referrals.welcome_page, name="welcome"),
    Route("/c/unsubscribe/{token}", messages.unsubscribe_page, name="unsubscribe"),
    Route("/c/unsubscribe/{token}", messages.unsubscribe_now, methods=["POST"]),
    Route("/c/unsubscribe/{token}/undo", messages.resubscribe_now, methods=["POST"]),
    Route("/c/review/{token}", reviews.review_page, name="review"),
    Route("/c/review/{token}", reviews.review_now, methods=["POST"]),
    Route("/c/review/{token}/later", reviews.review_later, methods=["POST"]),
)
